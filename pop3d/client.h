// One POP3 conversation: what happens on each event of pop3::ServerSession.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/alive.h"
#include "directory/login.h"
#include "net/loop.h"
#include "net/server.h"
#include "pop3/server_session.h"
#include "pop3d/read_ahead.h"
#include "pop3d/server.h"

namespace mail::pop3d {

class Client final : public net::Session {
 public:
  Client(Pop3Server& server, std::unique_ptr<net::Connection> connection);

  void on_ready() override;
  void on_octets(std::string_view octets) override;
  void on_drained() override;
  void on_tls_started() override;
  void on_shutdown() override;
  void on_ended(net::CloseReason reason) override;

 private:
  /// A mailbox that is ready to be served.
  struct Opened {
    std::shared_ptr<store::Account> account;
    std::shared_ptr<store::View> view;
    std::shared_ptr<const Snapshot> snapshot;
  };
  void pump();
  void handle(const pop3::Event& event);
  sasl::Channel channel();
  directory::Login& login();
  void logged_in(const directory::LoginStep& step);
  void open_mailbox(const directory::User& user);
  void refuse_later(pop3::Refusal refusal, std::chrono::milliseconds delay);
  void mailbox_opened(Result<Opened> opened);
  void retrieved(ReadAhead::Fetched message);
  void send_message();
  void remove(const std::vector<std::size_t>& indices);
  void restart_timeout();

  Pop3Server& server_;
  std::optional<pop3::ServerSession> session_;
  std::unique_ptr<directory::Login> login_;
  std::string user_;
  Opened mailbox_;
  std::unique_ptr<ReadAhead> messages_;
  std::shared_ptr<store::MessageFile> file_;  ///< The message that is being sent...
  std::size_t file_offset_ = 0;               ///< ...up to here.
  std::unique_ptr<net::Timer> delay_;
  bool pumping_ = false;
  bool input_paused_ = false;
  bool removing_ = false;
  bool stopping_ = false;
  std::uint64_t retrieved_ = 0;
  std::uint64_t deleted_ = 0;
  Alive alive_;
};

}  // namespace mail::pop3d
