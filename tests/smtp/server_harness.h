// A server session with a small world behind it: example.org is local (ann, bob; nobody is unknown, later is full),
// other domains only for the authenticated user "tim" with the password "tanstaaftanstaaf" (RFC 4954's own example).
#pragma once
#include <string>
#include <vector>

#include "smtp/server_session.h"
#include "tests/support/transcript.h"

namespace mail::test {

smtp::ServerSettings server_settings(const TranscriptSettings& from);

class ServerHarness final : public Conversation {
 public:
  explicit ServerHarness(const smtp::ServerSettings& settings) : settings_(settings), session_(settings_) {}
  std::string greeting() override;
  std::string receive(std::string_view octets) override;
  void start_tls() override;
  bool closed() const override { return closed_; }

  /// Everything that happened, one line per event, adjacent body octets joined.
  std::vector<std::string> events;
  std::vector<std::string> messages;
  smtp::ServerSession& session() { return session_; }

 private:
  std::string pump();
  void note(std::string_view event, std::string_view text = {});
  void on_sender(const smtp::MailArguments& arguments);
  void on_recipient(const smtp::RcptArguments& arguments);
  void on_auth(std::string_view response);
  void on_verify(std::string_view argument);

  smtp::ServerSettings settings_;
  smtp::ServerSession session_;
  std::string mechanism_;
  std::string login_user_;
  int auth_step_ = 0;
  std::vector<std::string> recipients_;
  std::string message_;
  bool closed_ = false;
};

}  // namespace mail::test
