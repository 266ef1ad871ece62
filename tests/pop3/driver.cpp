#include "tests/pop3/driver.h"

#include <algorithm>

#include "base/overloaded.h"
#include "base/strings.h"

namespace mail::test {

using namespace mail::pop3;

std::uint64_t MemoryMaildrop::octets(std::size_t index) const {
  const std::string& m = messages[index];
  return m.size() + static_cast<std::uint64_t>(std::ranges::count(m, '\n'));
}
std::uint64_t MemoryMaildrop::total_octets() const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) sum += octets(i);
  return sum;
}
std::string MemoryMaildrop::unique_id(std::size_t index) const { return "uid-" + decimal(index + 1); }

void Pop3Driver::receive(std::string_view octets) {
  session.receive(octets);
  pump();
}

void Pop3Driver::check(const std::string& user, bool right) {
  if (const auto refusal = refusals.find(user); refusal != refusals.end()) return session.refuse(refusal->second);
  if (!right) return session.refuse(Refusal::credentials);
  session.accept(maildrop);
}

void Pop3Driver::sasl(std::string_view octets) {
  if (mechanism_ == "LOGIN") {
    if (login_name_.empty()) {
      login_name_ = octets;
      return session.challenge("Password:");
    }
    return check(login_name_, users.contains(login_name_) && users[login_name_] == octets);
  }
  const auto parts = split(octets, '\0');
  if (parts.size() != 3) return session.refuse(Refusal::credentials);
  const std::string name(parts[1]);
  check(name, users.contains(name) && users[name] == parts[2]);
}

void Pop3Driver::pump() {
  while (!wants_tls) {
    const auto event = session.next();
    if (!event) return;
    std::visit(overloaded{
                   [&](const Send& e) { sent += e.octets; },
                   [&](const BeginTls&) { wants_tls = true; },
                   [&](const CheckPassword& e) {
                     const std::string name(e.user);
                     check(name, users.contains(name) && users[name] == e.password);
                   },
                   [&](const CheckApop& e) {
                     // RFC 1939 section 7's example: "tanstaaf".
                     check(std::string(e.user), e.digest == "c4c9334bac560ecc979e58001b3e22fb" &&
                                                    e.timestamp == "<1896.697170952@dbc.mtview.ca.us>");
                   },
                   [&](const BeginSasl& e) {
                     mechanism_ = e.mechanism;
                     login_name_.clear();
                     if (e.initial_response) return sasl(*e.initial_response);
                     session.challenge(mechanism_ == "LOGIN" ? "Username:" : "");
                   },
                   [&](const SaslResponse& e) { sasl(e.octets); },
                   [&](const SaslCancelled&) { mechanism_.clear(); },
                   [&](const Retrieve& e) {
                     if (gone.contains(e.index)) return session.refuse(Refusal::gone);
                     auto body = e.whole && piece_octets >= maildrop.messages[e.index].size()
                                     ? ServerSession::whole_body(maildrop.messages[e.index])
                                     : std::nullopt;
                     if (body) return session.message_whole(std::move(*body));
                     session.message_begins();
                     std::string_view rest = maildrop.messages[e.index];
                     while (!rest.empty() && session.message_octets(rest.substr(0, piece_octets))) {
                       rest.remove_prefix(std::min(piece_octets, rest.size()));
                       while (const auto more = session.next()) sent += std::get<Send>(*more).octets;
                     }
                     session.message_ends();
                   },
                   [&](const Remove& e) {
                     removed = e.indices;
                     session.removed(!removal_fails);
                   },
                   [&](const Close&) { closed = true; },
               },
               *event);
  }
}

}  // namespace mail::test
