// Postfix's policy delegation protocol, client side: a question of name=value lines, an answer "action=…". The codec is
// a core; the client carries it over one connection that is kept open.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/connector.h"
#include "smtp/reply.h"

namespace mail::mta {

struct DelegationQuestion {
  std::string stage;  ///< protocol_state: "EHLO", "RCPT", "MAIL"…
  std::string client_address, client_name, helo, sender, recipient, user, id;
  std::string protocol = "ESMTP";
  std::uint64_t size = 0;
  std::size_t recipients = 0;
  std::string tls_protocol, tls_cipher;
};
std::string to_wire(const DelegationQuestion& question);

/// What an action means here: a refusal, a wish for the message, or nothing (OK, DUNNO, permit). Others (FILTER, or
/// what is written wrongly) are not done; `ignored` names such a one for the log.
struct DelegationAnswer {
  std::optional<smtp::Reply> refusal;
  bool hold = false;
  bool discard = false;
  std::string redirect;  ///< The address that gets the message instead of its recipients.
  std::string bcc;       ///< One that gets a copy.
  std::string prepend;   ///< A whole header field without its line end.
  std::string remark;    ///< WARN, INFO: for the log.
  std::string ignored;
};
DelegationAnswer parse_action(std::string_view action);
/// The value of `action=` out of a whole answer; nothing where there is none.
std::optional<std::string_view> action_of(std::string_view answer);

/// One conversation's questions, one after the other. Destroyed, no callback comes any more.
class DelegationClient final : private net::Connection::Handler {
 public:
  /// The action, or why there is none (temporary).
  using Callback = std::function<void(Result<std::string>)>;
  DelegationClient(net::Loop& loop, net::SocketAddress server, std::chrono::milliseconds timeout);
  ~DelegationClient() override;
  void ask(const DelegationQuestion& question, Callback callback);

 private:
  void on_octets(std::string_view octets) override;
  void on_closed(net::CloseReason reason) override;
  void connect();
  void send();
  void finish(Result<std::string> result);

  net::Loop& loop_;
  net::SocketAddress server_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  net::Timer timer_;
  std::string question_, answer_;
  Callback callback_;
  bool fresh_ = false;  // no answer came over this connection yet: its loss is not just the server's idle time
};

}  // namespace mail::mta
