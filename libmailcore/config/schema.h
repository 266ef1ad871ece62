// The table behind the configuration: one row per key. A row's type is its member's type, its default the member's
// initialiser.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/document.h"
#include "config/settings.h"

namespace mail::config {

/// What is wrong with a value, as the end of a sentence that names the key: `must be true or false, not "yes"`.
using Complaint = std::optional<std::string>;
using Choices = std::vector<std::string_view>;
/// What is wrong with one text, when all files have been read: settings are the final ones.
using Check = Complaint (*)(std::string_view text, const Settings& settings);

// One pair of functions and one word for each type that a member may have (schema_types.cpp).
Complaint assign(std::string& to, const Node& node);
Complaint assign(bool& to, const Node& node);
Complaint assign_integer(std::uint64_t& to, const Node& node, std::uint64_t most);
template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) Complaint assign(T& to, const Node& node) {
  std::uint64_t value = 0;
  auto complaint = assign_integer(value, node, std::numeric_limits<T>::max());
  if (!complaint) to = static_cast<T>(value);
  return complaint;
}
Complaint assign(Octets& to, const Node& node);
Complaint assign(seconds& to, const Node& node);
Complaint assign(milliseconds& to, const Node& node);
Complaint assign(Strings& to, const Node& node);
Complaint assign(Endpoint& to, const Node& node);
Complaint assign(Endpoints& to, const Node& node);
Complaint assign(Networks& to, const Node& node);
Complaint assign(Table& to, const Node& node);
Complaint assign(std::vector<Certificate>& to, const Node& node);

std::string print(const std::string& value);
std::string print(bool value);
template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) std::string print(T value) { return std::to_string(value); }
std::string print(const Octets& value);
std::string print(const seconds& value);
std::string print(const milliseconds& value);
std::string print(const Strings& value);
std::string print(const Endpoint& value);
std::string print(const Endpoints& value);
std::string print(const Networks& value);
std::string print(const Table& value);
std::string print(const std::vector<Certificate>& value);

constexpr std::string_view kind(const std::string&) { return "text"; }
constexpr std::string_view kind(bool) { return "true or false"; }
template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) constexpr std::string_view kind(T) { return "number"; }
constexpr std::string_view kind(const Octets&) { return "size"; }
constexpr std::string_view kind(const seconds&) { return "duration"; }
constexpr std::string_view kind(const milliseconds&) { return "duration"; }
constexpr std::string_view kind(const Strings&) { return "list of texts"; }
constexpr std::string_view kind(const Endpoint&) { return "address:port"; }
constexpr std::string_view kind(const Endpoints&) { return "list of address:port"; }
constexpr std::string_view kind(const Networks&) { return "list of networks"; }
constexpr std::string_view kind(const Table&) { return "table"; }
constexpr std::string_view kind(const std::vector<Certificate>&) { return "tables"; }

struct Row {
  std::string_view name;
  std::string_view description;  ///< One sentence; what a zero or an empty value means.
  Choices choices;               ///< All that a text, or a text of a list, may be; empty: anything.
  std::string_view kind;
  Complaint (*assign)(Settings&, const Node&);
  std::string (*print)(const Settings&);
  Check check = nullptr;    ///< For a text, each text of a list and each value of a table.
  Check inspect = nullptr;  ///< Likewise, by `--check` only: what the host has to do with it, files and accounts.
};

/// A row for the member `Member` of the section `Section`: row<&Settings::smtp, &Smtp::listen>("smtp.listen", "…").
template <auto Section, auto Member>
Row row(std::string_view name, std::string_view description, Choices choices = {}) {
  using Type = std::remove_cvref_t<decltype(std::declval<Settings&>().*Section.*Member)>;
  Row out{name, description, std::move(choices), kind(Type{}), nullptr, nullptr};
  out.assign = [](Settings& settings, const Node& node) { return config::assign(settings.*Section.*Member, node); };
  out.print = [](const Settings& settings) { return config::print(settings.*Section.*Member); };
  return out;
}
template <auto Section, auto Member>
Row row(std::string_view name, std::string_view description, Check check) {
  auto out = row<Section, Member>(name, description);
  out.check = check;
  return out;
}
template <auto Section, auto Member>
Row row(std::string_view name, std::string_view description, Check check, Check inspect) {
  auto out = row<Section, Member>(name, description, check);
  out.inspect = inspect;
  return out;
}

/// Inspection of an address where TLS begins at once: there must be a certificate.
Complaint inspect_tls_address(std::string_view address, const Settings& settings);
/// Inspection of a key that names a file: it must be there, be a file, and be readable. Empty: none is meant.
Complaint inspect_file(std::string_view path, const Settings& settings);

using Rows = std::vector<Row>;
Rows host_rows();  // schema_host.cpp: host, log, run, tls, limits, dns
Rows mail_rows();  // schema_mail.cpp: spool, mail, users, auth, mda
Rows smtp_rows();  // schema_smtp.cpp: smtp, lmtp, relay
Rows read_rows();  // schema_read.cpp: imap, pop3
/// All rows, section by section.
const Rows& schema();

}  // namespace mail::config
