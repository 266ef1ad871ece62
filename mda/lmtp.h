// LMTP (RFC 2033): another MTA hands us mail. As a daemon a message is durable in spool/local when it is acknowledged,
// and delivered right behind; a single session on descriptor 0 delivers before it answers.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/alive.h"
#include "mda/environment.h"
#include "mda/local_queue.h"
#include "net/server.h"
#include "net/service.h"
#include "smtp/server_session.h"

namespace mail::mda {

class LmtpServer {
 public:
  /// @param queue  nullptr: each message is delivered before the reply.
  LmtpServer(net::Service& service, Environment& environment, LocalQueue* queue);
  std::unique_ptr<net::Session> session(std::unique_ptr<net::Connection> connection);

  net::Service& service;
  Environment& environment;
  LocalQueue* const queue;
  smtp::ServerSettings settings;
};

class LmtpClient final : public net::Session {
 public:
  LmtpClient(LmtpServer& server, std::unique_ptr<net::Connection> connection);
  void on_ready() override;
  void on_octets(std::string_view octets) override;
  void on_drained() override;
  void on_tls_started() override;
  void on_shutdown() override;

 private:
  struct Recipient {
    std::string address;
    spool::Recipient envelope;  // its parameters
    route::Route route;
  };
  void pump();
  void handle(smtp::Event& event);
  void check_recipient(smtp::RcptArguments& arguments);
  void begin_message();
  void keep_head(std::string_view octets);
  void end_message();
  void deliver_now();
  void committed(const Status& status);
  std::vector<spool::Entry> entries();
  void forget();
  std::string_view protocol();
  std::string peer_address();

  LmtpServer& server_;
  smtp::ServerSession session_;
  std::string helo_, reverse_path_;
  bool smtputf8_ = false;
  std::vector<Recipient> recipients_;
  MessageId id_;
  std::unique_ptr<spool::Incoming> incoming_;  // into the spool...
  std::string content_;                        // ...or in memory, to be delivered at once
  std::string head_;                           // of what goes into the queue
  bool sends_on_ = false;                      // some of it does
  bool reading_paused_ = false;
  bool pumping_ = false;
  Alive alive_;
};

}  // namespace mail::mda
