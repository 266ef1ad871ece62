#include "config/transport.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/process.h"
#include "base/strings.h"

namespace mail::config {
namespace {

auto malformed(std::initializer_list<std::string_view> words) { return fail(Error::Kind::syntax, concat(words)); }

struct Word {
  std::string_view name;
  Transport::Kind kind;
};
constexpr std::array kKinds{
    Word{"discard", Transport::Kind::discard}, Word{"error", Transport::Kind::error},
    Word{"lmtp", Transport::Kind::lmtp},       Word{"local", Transport::Kind::local},
    Word{"mx", Transport::Kind::mx},           Word{"pipe", Transport::Kind::pipe},
    Word{"relay", Transport::Kind::smtp},  // Postfix's word, in tables that are taken over
    Word{"smtp", Transport::Kind::smtp},
};

bool one_of(std::string_view value, std::initializer_list<std::string_view> choices) {
  return std::ranges::find(choices, value) != choices.end();
}

/// One `name=value` of smtp, lmtp and mx.
Status set_option(Transport& to, std::string_view name, std::string_view value) {
  if (value.empty()) return malformed({"has no value for ", name, "="});
  if (name == "tls") {
    if (!one_of(value, {"none", "opportunistic", "required", "implicit"}))
      return malformed({"must have tls=none, opportunistic, required or implicit, not ", printable(value)});
    to.tls = value;
  } else if (name == "auth") {
    to.auth_user = value;
  } else if (name == "password_file") {
    if (!value.starts_with('/')) return malformed({"needs an absolute path in password_file=, not ", printable(value)});
    to.auth_file = value;
  } else if (name == "source") {
    if (!IpAddress::parse(value)) return malformed({"needs an IP address in source=, not ", printable(value)});
    to.source.emplace_back(value);
  } else if (name == "family") {
    if (!one_of(value, {"ipv4", "ipv6", "ipv4-only", "ipv6-only"}))
      return malformed({"must have family=ipv4, ipv6, ipv4-only or ipv6-only, not ", printable(value)});
    to.family = value;
  } else {
    return malformed(
        {"has an unknown option ", printable(name), "=: tls, auth, password_file, source and family are known"});
  }
  return {};
}

Status set_host(Transport& to, std::string_view host) {
  std::string text(host);
  // Postfix writes [name]:port where no MX is to be asked for; here a host is a host.
  if (const auto end = text.find(']'); text.starts_with('[') && end != std::string::npos) {
    if (!IpAddress::parse(std::string_view(text).substr(1, end - 1)))
      text = concat({std::string_view(text).substr(1, end - 1), std::string_view(text).substr(end + 1)});
  } else if (to.kind == Transport::Kind::lmtp && text.starts_with("inet:")) {
    text.erase(0, 5);
  }
  const auto endpoint = Endpoint::parse(text);
  if (!endpoint || endpoint->host == "*")
    return malformed({"needs \"host:port\", \"[address]:port\" or \"unix:/path\", not \"", printable(host), "\""});
  to.host = *endpoint;
  if (!to.host.path.empty()) to.kind = Transport::Kind::lmtp;  // nobody speaks SMTP on a Unix socket
  if (to.host.path.empty() && to.host.port == 0) to.host.port = to.kind == Transport::Kind::lmtp ? 24 : 25;
  return {};
}

Status read_network(Transport& to, std::string_view rest) {
  const auto words = split_words(rest);
  std::size_t options = 0;
  if (!words.empty() && words[0].find('=') == std::string_view::npos) {
    options = 1;
    if (to.kind == Transport::Kind::mx)
      to.domain = to_lower(words[0]);
    else
      MAIL_CHECK(set_host(to, words[0]));
  } else if (to.kind != Transport::Kind::mx) {
    return malformed({"needs a host behind ", to.kind == Transport::Kind::lmtp ? "lmtp:" : "smtp:"});
  }
  for (const auto word : std::span(words).subspan(options)) {
    const auto [name, value] = split_once(word, '=');
    if (word.find('=') == std::string_view::npos)
      return malformed({"has \"", printable(word), "\" behind the host, where options are name=value"});
    MAIL_CHECK(set_option(to, name, value));
  }
  if (to.auth_user.empty() != to.auth_file.empty())
    return malformed({"needs both auth= and password_file=, or neither"});
  return {};
}

Status read_pipe(Transport& to, std::string_view rest) {
  rest = trim(rest);
  while (!rest.empty() && !rest.starts_with('/') && !rest.starts_with('"')) {
    const auto word = rest.substr(0, rest.find_first_of(" \t"));
    const auto [name, value] = split_once(word, '=');
    if (name != "user" || value.empty())
      return malformed({"has \"", printable(word), "\" where user=NAME or an absolute path of a program is expected"});
    to.run_as = value;
    rest = trim(rest.substr(word.size()));
  }
  auto argv = split_command(rest);
  if (!argv) return malformed({"needs a program: ", argv.error().text});
  to.argv = std::move(*argv);
  return {};
}

/// "5.1.6", "4.3.2": class 4 or 5, subject and detail.
bool is_status(std::string_view word) {
  const auto parts = split(word, '.');
  return parts.size() == 3 && (parts[0] == "4" || parts[0] == "5") && parse_decimal<std::uint16_t>(parts[1]) &&
         parse_decimal<std::uint16_t>(parts[2]);
}

void read_error(Transport& to, std::string_view rest) {
  rest = trim(rest);
  to.enhanced = "5.7.1";
  const auto [first, others] = split_once(rest, ' ');
  if (is_status(first)) {
    to.enhanced = first;
    rest = trim(others);
  }
  to.code = to.enhanced.starts_with('4') ? 450 : 550;
  to.text = rest.empty() ? "Mail is not accepted for this address" : rest;
}

}  // namespace

Result<Transport> Transport::parse(std::string_view text) {
  text = trim(text);
  Transport to;
  to.name = text;
  if (text.empty()) return malformed({"is empty: a transport such as \"smtp:host:25\" is expected"});
  if (std::ranges::any_of(text, [](unsigned char c) { return c < 0x20 && c != '\t'; }))
    return malformed({"holds a control character"});
  auto rest = text;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    const auto word = to_lower(text.substr(0, colon));
    if (const auto* kind = std::ranges::find(kKinds, word, &Word::name); kind != kKinds.end()) {
      to.kind = kind->kind;
      rest = trim(text.substr(colon + 1));
    }
  }
  switch (to.kind) {
    case Kind::mx:
    case Kind::smtp:
    case Kind::lmtp:
      MAIL_CHECK(read_network(to, rest));
      break;
    case Kind::pipe:
      MAIL_CHECK(read_pipe(to, rest));
      break;
    case Kind::error:
      read_error(to, rest);
      break;
    case Kind::local:
    case Kind::discard:
      to.text = rest;
      break;
  }
  return to;
}

Result<Transport> Transport::parse(std::string_view text, const Table& named) {
  const auto found = named.find(to_lower(trim(text)));
  if (found == named.end()) return parse(text);
  auto transport = parse(found->second);
  if (!transport) return malformed({"names the transport ", found->first, ", which ", transport.error().text});
  transport->name = found->first;
  return transport;
}

}  // namespace mail::config
