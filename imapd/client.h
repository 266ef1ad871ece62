// Carries one session's octets: between its connection and the conversation, on the loop or, where that waits for the
// disk, on a worker.
#pragma once
#include <atomic>
#include <memory>
#include <string_view>

#include "base/alive.h"
#include "imapd/compression.h"
#include "imapd/session.h"
#include "net/loop.h"
#include "net/server.h"

namespace mail::imapd {

class ImapServer;

class Client final : public net::Session {
 public:
  Client(ImapServer& server, std::unique_ptr<net::Connection> connection);

  void on_ready() override;
  void on_octets(std::string_view octets) override;
  void on_drained() override;
  void on_tls_started() override;
  void on_shutdown() override;
  void on_ended(net::CloseReason reason) override;

 private:
  void pump();
  /// False where pump() has to stop.
  bool act_on(imapd::Session::Next next);
  void run_on_worker();
  void worker_done(imapd::Session::Next next);
  bool inflate();
  void send_output();
  void shut_down(std::string_view why);
  void restart_timeout();
  void write(std::string octets);
  /// From now on, while a worker has the session: says every few seconds that the command is worked on (RFC 9585).
  void tell_progress();
  sasl::Channel channel();

  ImapServer& server_;
  std::shared_ptr<imapd::Session> session_;  // shared with the job that runs on a worker: it may outlive this
  std::shared_ptr<std::atomic<bool>> woken_;
  std::unique_ptr<Compression> compression_;
  std::unique_ptr<net::Timer> delay_, progress_;
  std::string progress_tag_;
  std::string_view stopping_;  ///< Why, where that must wait for a worker.
  bool busy_ = false;          ///< A worker has the session.
  bool pumping_ = false;
  Alive alive_;
};

}  // namespace mail::imapd
