// One SMTP conversation: what happens on each event of smtp::ServerSession.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/alive.h"
#include "directory/login.h"
#include "mta/serve/filter/filter_chain.h"
#include "mta/serve/header_gate.h"
#include "mta/serve/policy/policy.h"
#include "mta/serve/server.h"
#include "mta/serve/transaction.h"
#include "net/loop.h"
#include "net/server.h"
#include "smtp/server_session.h"

namespace mail::mta {

class Client final : public net::Session {
 public:
  Client(SmtpServer& server, std::unique_ptr<net::Connection> connection, Service service);
  ~Client() override;

  void on_ready() override;
  void on_octets(std::string_view octets) override;
  void on_tls_started() override;
  void on_shutdown() override;
  void on_ended(net::CloseReason reason) override;

 private:
  /// What only a message or a log-in needs; an idle connection has none of it.
  struct Work;
  Work& work();

  void refuse_connection(smtp::Reply refusal);
  void greet_when_due();
  void greet();
  void pump();
  void handle(smtp::Event& event);
  void restart_timeout();
  ClientPolicy::Question policy_question();
  /// Asks `stage` of the policy, where there is one, and goes on with `then` when it has nothing against it.
  void ask_policy(void (ClientPolicy::*stage)(const ClientPolicy::Question&, const ClientPolicy::Callback&),
                  const ClientPolicy::Question& question, std::string_view stage_name, std::function<void()> then);
  /// What a check calls at its end: goes on with `then`, or refuses.
  std::function<void(std::optional<smtp::Reply>)> verdict(std::string_view stage, std::string subject,
                                                          std::function<void()> then);
  void check_hello(const smtp::CheckHello& hello);
  void check_sender(const smtp::MailArguments& mail);
  void take_sender(const smtp::MailArguments& mail);
  Result<std::string> rewritten_sender(const std::string& address) const;
  /// Where an address that comes with this message leads, through the maps and the aliases.
  Result<route::Route> route_entering(const std::string& address);
  void check_recipient(const smtp::RcptArguments& rcpt);
  void take_recipient(const smtp::RcptArguments& rcpt, const route::Route& route);
  std::optional<smtp::Reply> refuse_sender(const smtp::MailArguments& mail);
  void verify(std::string_view argument, bool expand);

  // The message: client_message.cpp.
  void begin_message();
  void asked_for(std::string address);
  Status add_copies();
  std::optional<smtp::Reply> refuse_without_copies();
  Status add_copy(const std::string& address);
  void add_octets(std::string_view octets);
  void header_whole();
  std::optional<smtp::Reply> refuse_header(std::string_view header);
  std::string added_fields(std::string_view header);
  std::string received();
  void end_accepted(std::uint64_t octets);
  void discard();
  void store(std::uint64_t octets);
  void end_message(std::uint64_t octets);
  void committed(const MessageId& id, std::uint64_t octets, const Status& status);
  void drop_message(smtp::Reply refusal);

  // Mail filters, policy servers: client_filters.cpp.
  milter::Macros filter_macros() const;
  void open_filters();
  void filter_sender(const smtp::MailArguments& mail);
  void filter_recipient(const smtp::RcptArguments& rcpt, route::Route route);
  void filter_message(std::uint64_t octets);
  void filtered(std::uint64_t octets);
  std::optional<smtp::Reply> change_envelope(const milter::Change& change);
  std::optional<smtp::Reply> change_recipients(const ClientPolicy::Wishes& wishes);

  void begin_login(std::string_view mechanism, std::optional<std::string_view> response);
  void login_step(const directory::LoginStep& step);
  void refuse(std::string_view stage, smtp::Reply reply, std::string_view subject);

  const config::Settings& settings() const { return server_.settings(); }
  const smtp::ServerSettings& smtp_settings() const { return server_.settings_of(service_); }
  bool trusted() const;

  SmtpServer& server_;
  const Service service_;
  smtp::ServerSession session_;
  std::string client_address_;
  std::string helo_;
  std::string user_;  ///< Authenticated as; empty: not.
  std::unique_ptr<Work> work_;
  std::unique_ptr<ClientPolicy> policy_;  ///< Null where [policy] asks for nothing.
  std::unique_ptr<FilterChain> filters_;  ///< Null where there are none.
  std::unique_ptr<net::Timer> delay_;
  bool pumping_ = false;
  bool paused_ = false;
  bool stopping_ = false;
  bool delivered_any_ = false;
  Alive alive_;
};

}  // namespace mail::mta
