// The checks of [policy] put together: what all clients share, and one client's way through the stages. Every answer is
// a refusal or nothing; answers come at once or later on the same loop, never after the object is gone.
//
// Order: allow_clients ends all checks; deny_clients, connection rate; at HELO its name; at MAIL what DNS says,
// senders, message rate; at RCPT recipients, greylisting. The policy server is asked last at each stage that is set. A
// trusted client (AUTH, relay_networks) meets the rates of its account only.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/alive.h"
#include "config/settings.h"
#include "mta/serve/policy/delegation.h"
#include "mta/serve/policy/dns_checks.h"
#include "mta/serve/policy/greylist.h"
#include "mta/serve/policy/rates.h"
#include "net/worker_pool.h"
#include "smtp/reply.h"

namespace mail::mta {

class Policy {
 public:
  static Result<std::unique_ptr<Policy>> open(const config::Settings& settings, net::WorkerPool& workers,
                                              const Clock& clock);
  const config::Policy& settings() const { return settings_; }

  /// True where the section asks for anything: else no client needs a ClientPolicy.
  bool active() const { return active_; }

 private:
  friend class ClientPolicy;
  Policy(const config::Settings& settings, net::WorkerPool& workers, const Clock& clock);
  config::Policy settings_;
  std::string host_name_;
  net::WorkerPool& workers_;
  Rates connections_, messages_, user_messages_, user_recipients_;
  std::unique_ptr<Greylist> greylist_;
  std::optional<net::SocketAddress> delegation_;
  bool active_ = false;
};

class ClientPolicy {
 public:
  using Answer = std::optional<smtp::Reply>;
  using Callback = std::function<void(Answer)>;
  /// What a stage is about; filled as far as it is known by then.
  struct Question {
    std::string helo, sender, recipient, user, id;
    bool trusted = false;
    bool esmtp = true;
    std::uint64_t size = 0;
    std::size_t recipients = 0;
    std::string tls_version, tls_cipher;
  };
  /// What a policy server wants of the message besides yes and no, since the last sender().
  struct Wishes {
    bool hold = false;
    bool discard = false;
    std::string redirect;             ///< Where the message goes instead; empty: to its recipients.
    std::vector<std::string> copies;  ///< Who gets it too.
    std::string prepend;              ///< Whole header fields with their line ends.
    bool changes_envelope() const { return hold || !redirect.empty() || !copies.empty(); }
  };

  ClientPolicy(Policy& policy, net::Loop& loop, net::Resolver& resolver, const net::SocketAddress& peer);
  ~ClientPolicy();

  /// The connection itself: a refusal goes out in place of the greeting. Starts asking DNS.
  Answer connected();
  void hello(const Question& question, const Callback& callback);
  void sender(const Question& question, const Callback& callback);
  void recipient(const Question& question, const Callback& callback);
  void data(const Question& question, const Callback& callback);
  void end_of_message(const Question& question, const Callback& callback);
  const Wishes& wishes() const { return wishes_; }
  /// Calls back when it is known what DNS says, as far as it is asked.
  void when_named(const std::function<void()>& callback);
  /// Spared all checks, and the mail filters too.
  bool allowed() const { return allowed_; }
  /// The client's name that leads back to its address, for Received; empty while unknown.
  const std::string& confirmed_name() const;

 private:
  bool exempt(const Question& question) const { return allowed_ || question.trusted; }
  Answer hello_verdict(const Question& question) const;
  Answer dns_verdict(const DnsChecks::Findings& findings) const;
  Answer sender_verdict(const Question& question);
  Answer count_message(const Question& question);
  void resolve_helo(const std::string& helo, const Callback& callback);
  void greylist(const Question& question, const Callback& callback);
  void delegate(std::string_view stage, const Question& question, const Callback& callback);
  Answer heed(const Result<std::string>& action);

  Policy& policy_;
  net::Loop& loop_;
  net::Resolver& resolver_;
  net::SocketAddress peer_;
  std::string rate_name_;
  Wishes wishes_;
  bool allowed_ = false;
  bool spared_ = false;  // an allowed sender or recipient, or on an allow list: no greylisting, no policy server
  std::unique_ptr<DnsChecks> dns_;
  std::unique_ptr<net::Resolver::Query> helo_query_;
  std::unique_ptr<DelegationClient> delegation_;
  Alive alive_;
};

}  // namespace mail::mta
