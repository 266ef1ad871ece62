#include <algorithm>

#include "base/strings.h"
#include "config/schema.h"

namespace mail::config {
namespace {

std::string meant(std::string_view what, const Node& node) {
  return concat({"must be ", what, ", not ", what_it_is(node)});
}

/// Each text of a list through `one`; a single text stands for a list of one.
template <class T, class One>
Complaint assign_list(std::vector<T>& to, const Node& node, std::string_view what, One one) {
  std::vector<T> out;
  Node::List single;
  const auto* list = std::get_if<Node::List>(&node.value);
  if (list == nullptr && std::holds_alternative<std::string>(node.value)) {
    single.push_back(node);
    list = &single;
  }
  if (list == nullptr) return meant(concat({"a list of ", what}), node);
  for (const auto& element : *list) {
    T value{};
    if (auto complaint = one(value, element)) return complaint;
    out.push_back(std::move(value));
  }
  to = std::move(out);
  return {};
}

template <class Duration>
Complaint assign_duration(Duration& to, const Node& node) {
  constexpr std::string_view kWhat = "a duration such as \"30s\", \"5m\" or \"2h\"";
  std::optional<milliseconds> value;
  if (const auto* text = std::get_if<std::string>(&node.value)) value = parse_duration(*text);
  if (const auto* number = std::get_if<std::int64_t>(&node.value);
      number != nullptr && *number >= 0 && *number < (1LL << 40U))
    value = seconds(*number);
  if (!value) return meant(kWhat, node);
  if (*value % Duration(1) != milliseconds(0)) return meant("a duration in whole seconds", node);
  to = std::chrono::duration_cast<Duration>(*value);
  return {};
}

template <class T, class Print>
std::string print_list(const std::vector<T>& values, Print one) {
  std::string out = "[";
  for (const auto& value : values) out += (out.size() > 1 ? ", " : "") + one(value);
  return out + "]";
}

}  // namespace

Complaint assign(std::string& to, const Node& node) {
  const auto* text = std::get_if<std::string>(&node.value);
  if (text == nullptr) return meant("a text in quotes", node);
  if (text->find('\0') != std::string::npos) return "must not hold a NUL";
  to = *text;
  return {};
}

Complaint assign(bool& to, const Node& node) {
  const auto* truth = std::get_if<bool>(&node.value);
  if (truth == nullptr) return meant("true or false", node);
  to = *truth;
  return {};
}

Complaint assign_integer(std::uint64_t& to, const Node& node, std::uint64_t most) {
  const auto* number = std::get_if<std::int64_t>(&node.value);
  if (number == nullptr) return meant("a whole number without quotes", node);
  if (*number < 0 || static_cast<std::uint64_t>(*number) > most)
    return meant("a number from 0 to " + decimal(most), node);
  to = static_cast<std::uint64_t>(*number);
  return {};
}

Complaint assign(Octets& to, const Node& node) {
  std::optional<Octets> value;
  if (const auto* text = std::get_if<std::string>(&node.value)) value = parse_octets(*text);
  if (const auto* number = std::get_if<std::int64_t>(&node.value); number != nullptr && *number >= 0)
    value = Octets{static_cast<std::uint64_t>(*number)};
  if (!value) return meant("a size such as \"64MB\" or 65536", node);
  to = *value;
  return {};
}

Complaint assign(seconds& to, const Node& node) { return assign_duration(to, node); }
Complaint assign(milliseconds& to, const Node& node) { return assign_duration(to, node); }

Complaint assign(Strings& to, const Node& node) {
  return assign_list(to, node, "texts", [](std::string& value, const Node& element) { return assign(value, element); });
}

Complaint assign(Endpoint& to, const Node& node) {
  constexpr std::string_view kWhat =
      "an address such as \"127.0.0.1:25\", \"[::1]:25\", \"*:25\" or \"unix:/run/socket\"";
  const auto* text = std::get_if<std::string>(&node.value);
  const auto value = text == nullptr ? std::nullopt : Endpoint::parse(*text);
  if (!value) return meant(kWhat, node);
  to = *value;
  return {};
}

Complaint assign(Endpoints& to, const Node& node) {
  return assign_list(to, node, "addresses",
                     [](Endpoint& value, const Node& element) { return assign(value, element); });
}

Complaint assign(Networks& to, const Node& node) {
  return assign_list(to, node, "networks", [](IpPrefix& value, const Node& element) -> Complaint {
    const auto* text = std::get_if<std::string>(&element.value);
    const auto parsed = text == nullptr ? std::nullopt : IpPrefix::parse(*text);
    if (!parsed) return meant("a network such as \"192.0.2.0/24\" or \"2001:db8::/32\"", element);
    value = *parsed;
    return {};
  });
}

namespace {

/// Domains are keys with dots in them: example.net = "x" without quotes is, to TOML, a table "example" with a key
/// "net".
Complaint flatten(Table& to, const Node& node, const std::string& prefix) {
  const auto* section = std::get_if<Node::Section>(&node.value);
  if (section == nullptr) return meant("a table of NAME = \"text\" lines", node);
  for (const auto& [key, value] : *section) {
    const auto name = concat({prefix, prefix.empty() ? "" : ".", to_lower(key)});
    const auto* text = std::get_if<std::string>(&value.value);
    if (text != nullptr) {
      to[name] = *text;
    } else if (!std::holds_alternative<Node::Section>(value.value)) {
      return concat({"must give a text in quotes for ", printable(name), ", not ", what_it_is(value)});
    } else if (auto complaint = flatten(to, value, name)) {
      return complaint;
    }
  }
  return {};
}

}  // namespace

Complaint assign(Table& to, const Node& node) { return flatten(to, node, ""); }

Complaint assign(std::vector<Certificate>& to, const Node& node) {
  const auto* list = std::get_if<Node::List>(&node.value);
  constexpr std::string_view kWhat =
      "a list of tables: [[tls.certificates]] with certificate = \"FILE\" and key = \"FILE\"";
  if (list == nullptr) return meant(kWhat, node);
  std::vector<Certificate> out;
  for (const auto& element : *list) {
    const auto* section = std::get_if<Node::Section>(&element.value);
    if (section == nullptr) return meant(kWhat, element);
    Certificate certificate;
    for (const auto& [key, value] : *section) {
      if (key != "certificate" && key != "key") return concat({"has no key \"", key, "\": certificate and key are"});
      if (auto complaint = assign(key == "key" ? certificate.key : certificate.certificate, value)) return complaint;
    }
    if (certificate.certificate.empty()) return "needs certificate = \"FILE\" in each table";
    out.push_back(std::move(certificate));
  }
  to = std::move(out);
  return {};
}

std::string print(const std::string& value) {
  std::string out = "\"";
  for (const char c : value) (c == '"' || c == '\\' ? out += '\\' : out) += c;
  return out + "\"";
}
std::string print(bool value) { return value ? "true" : "false"; }
std::string print(const Octets& value) {
  const auto text = print_octets(value);
  return is_alpha(static_cast<unsigned char>(text.back())) ? print(text) : text;
}
std::string print(const seconds& value) { return print(print_duration(value)); }
std::string print(const milliseconds& value) { return print(print_duration(value)); }
std::string print(const Strings& value) {
  return print_list(value, [](const std::string& text) { return print(text); });
}
std::string print(const Endpoint& value) {
  return print(value.host.empty() && value.path.empty() ? "" : value.to_string());
}
std::string print(const Endpoints& value) {
  return print_list(value, [](const Endpoint& endpoint) { return print(endpoint); });
}
std::string print(const Networks& value) {
  return print_list(value, [](const IpPrefix& network) { return print(network.to_string()); });
}
std::string print(const Table&) { return "{}"; }
std::string print(const std::vector<Certificate>&) { return "[]"; }

const Rows& schema() {
  static const Rows kRows = [] {
    Rows all;
    for (auto* part : {host_rows, mail_rows, smtp_rows, read_rows}) std::ranges::copy(part(), std::back_inserter(all));
    return all;
  }();
  return kRows;
}

}  // namespace mail::config
