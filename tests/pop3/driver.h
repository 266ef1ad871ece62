// A pop3d without sockets: users and messages in memory, the session's events answered at once.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pop3/server_session.h"

namespace mail::test {

class MemoryMaildrop final : public pop3::Maildrop {
 public:
  std::vector<std::string> messages;
  std::size_t count() const override { return messages.size(); }
  std::uint64_t total_octets() const override;
  std::uint64_t octets(std::size_t index) const override;
  std::string unique_id(std::size_t index) const override;
};

class Pop3Driver {
 public:
  explicit Pop3Driver(pop3::Options options) : session(std::move(options)) {}
  /// Gives octets to the session and acts on its events; what it sent comes to `sent`.
  void receive(std::string_view octets);
  void pump();

  pop3::ServerSession session;
  MemoryMaildrop maildrop;
  std::map<std::string, std::string> users;       ///< name to password
  std::map<std::string, pop3::Refusal> refusals;  ///< logins that are refused for another reason
  std::set<std::size_t> gone;                     ///< messages that cannot be opened
  bool removal_fails = false;
  std::size_t piece_octets = 1U << 20;
  std::string sent;
  std::vector<std::size_t> removed;
  bool closed = false;
  bool wants_tls = false;

 private:
  void check(const std::string& user, bool right);
  void sasl(std::string_view octets);
  std::string mechanism_;
  std::string login_name_;
};

}  // namespace mail::test
