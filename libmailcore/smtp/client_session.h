// The client side of RFC 5321 and LMTP (RFC 2033): replies in, events and commands out. No sockets, files, clock or
// threads; used by `mta relay` on a loop and by `mua` in its own thread.
//
// Course of a session: the peer's greeting and EHLO are done by the session itself; at Ready the caller calls one of
// start_tls(), authenticate(), send(), quit(). After each MessageResult it may send() the next message; with PIPELINING
// it may do so as soon as BodyWanted's body is finished.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "smtp/extensions.h"
#include "smtp/parameters.h"
#include "smtp/path.h"
#include "smtp/reply.h"

namespace mail::smtp {

struct ClientSettings {
  std::string host_name = "localhost";  ///< Behind EHLO.
  bool lmtp = false;
  bool chunking = true;    ///< BDAT where the peer offers it.
  bool pipelining = true;  ///< Where the peer offers it.
  bool tls = false;        ///< TLS from the first octet on.
};

struct OutgoingRecipient {
  Mailbox forward_path;
  RcptParameters parameters;
};

/// One message to send. Parameters whose extension the peer lacks are left out where that is harmless (SIZE, BODY=7BIT,
/// DSN, AUTH, MT-PRIORITY, DELIVERBY mode N); else each recipient gets a local refusal: SMTPUTF8 5.6.7,
/// REQUIRETLS 5.7.30, BODY=8BITMIME 5.6.3 (so convert first, see offered()), FUTURERELEASE 5.5.4, DELIVERBY mode
/// R 5.4.7.
struct OutgoingMessage {
  Mailbox reverse_path;
  MailParameters parameters;
  std::vector<OutgoingRecipient> recipients;
  std::uint64_t octets =
      0;  ///< Exact length of the body with CRLF line ends, for BDAT and SIZE; 0 = unknown (then DATA is used).
};

/// Octets for the peer; valid until the next call.
struct SendOctets {
  std::string_view octets;
};
/// Greeting and EHLO are done (again after STARTTLS, AUTH): offered() is current, the caller says what comes next.
struct Ready {};
/// The peer said 220 to STARTTLS: begin the handshake, then tls_started().
struct StartTls {};
/// The peer refused STARTTLS; the session is as before it (then Ready).
struct TlsRefused {
  Reply reply;
};
/// A challenge of the mechanism, decoded: auth_respond() or auth_cancel().
struct AuthChallenge {
  std::string challenge;
};
/// The end of the AUTH exchange; Ready follows.
struct AuthResult {
  bool succeeded;
  Reply reply;
};
/// At least one recipient was accepted: give the content by body(), then finish_body().
struct BodyWanted {};
/// Which step of the transaction a recipient's reply belongs to.
enum class Stage : std::uint8_t { local, connect, hello, mail, rcpt, data, end_of_data };
struct RecipientResult {
  Reply reply;
  Stage stage = Stage::local;
};
/// One per send(), in order: the final word for each recipient, in the order of OutgoingMessage::recipients. A code of
/// 2xx means delivered (end_of_data). Where the connection went away replies are 4xx with 4.4.2; what was not answered
/// behind the final dot may have been delivered (RFC 1047).
struct MessageResult {
  std::vector<RecipientResult> recipients;
};
/// The session is of no more use (greeting refused, 421, protocol error, QUIT done): close. Pending messages have had
/// their MessageResult.
struct SessionOver {
  Stage stage;
  Reply reply;  ///< The peer's last word, or one made here with 4.4.2 / 5.5.0.
  bool by_quit = false;
};

using ClientEvent = std::variant<SendOctets, Ready, StartTls, TlsRefused, AuthChallenge, AuthResult, BodyWanted,
                                 MessageResult, SessionOver>;

class ClientSession {
 public:
  explicit ClientSession(ClientSettings settings);

  void receive(std::string_view octets);  ///< Copied where not used at once.
  std::optional<ClientEvent> next();

  void start_tls();
  /// Discards what was received in clear (response injection) and says EHLO anew.
  void tls_started();
  /// `initial`: the initial response, or nothing. Empty is sent as `=`.
  void authenticate(std::string_view mechanism, std::optional<std::string_view> initial);
  void auth_respond(std::string_view response);
  void auth_cancel();
  /// Begins a transaction; see the course above. A second one may be queued while the first one's result is awaited.
  void send(OutgoingMessage message);
  /// A piece of the content, any slicing. Line ends are made CRLF and dots stuffed here; a view is sent without copy
  /// where nothing is to change. Call next() until it returns nothing before the octets go away.
  void body(std::string_view octets);
  void finish_body();
  void quit();
  /// NOOP, to see whether an idle connection lives; Ready follows.
  void probe();
  /// The transport failed or ended; `why` is for the replies made here.
  void disconnected(std::string_view why);

  const Offered& offered() const { return offered_; }
  const Reply& greeting() const { return greeting_; }
  bool over() const { return over_; }
  bool tls() const { return tls_; }
  /// What the peer is to answer next, for time limits (RFC 5321 section 4.5.3.2): connect, hello, mail, rcpt, data or
  /// end_of_data.
  Stage awaited() const;

 private:
  enum class Expect : std::uint8_t { greeting, ehlo, helo, starttls, auth, mail, rcpt, data, end, rset, noop, quit };
  struct Transaction {
    OutgoingMessage message;
    std::vector<RecipientResult> results;  // a reply of code 0: still open
    std::uint32_t asked = 0;               // RCPTs written
    std::uint32_t answered = 0;            // RCPTs answered
    std::uint32_t accepted = 0;
    std::uint32_t end_replies = 0;  // LMTP: behind the data so far
    bool begun = false;
    bool bdat = false;
    bool mail_refused = false;
    bool data_written = false;
    bool body_finished = false;
  };

  void command(std::string_view line, Expect expect);
  void say_hello();
  void on_reply(Reply reply);
  void on_unexpected(Reply reply);
  void on_hello(Expect expect, Reply reply);
  void on_starttls(Reply reply);
  void on_auth(Reply reply);
  void on_mail(Transaction& transaction, Reply reply);
  void on_rcpt(Transaction& transaction, Reply reply);
  void on_data(Transaction& transaction, Reply reply);
  void on_end(Transaction& transaction, Reply reply);
  void begin_transactions();
  void write_envelope(Transaction& transaction);
  void write_rcpt(Transaction& transaction);
  void after_recipients(Transaction& transaction);
  void want_body();
  void finish_transaction(bool reset);
  void settle(Transaction& transaction, const Reply& reply, Stage stage);
  void end_session(Stage stage, Reply reply, bool by_quit = false);
  MailParameters usable(const OutgoingMessage& message) const;
  MaybeReply cannot_send(const OutgoingMessage& message) const;
  std::string_view stuff();
  bool pipelining() const { return settings_.pipelining && offered_.pipelining; }

  ClientSettings settings_;
  Offered offered_;
  Reply greeting_;
  ReplyReader reader_;
  std::string input_;
  std::deque<Expect> expected_;
  std::deque<Transaction> transactions_;
  std::deque<ClientEvent> events_;
  std::string output_;             // to send
  std::string sending_;            // the octets of the last SendOctets
  std::string_view body_;          // not yet sent octets of the last body()
  std::uint64_t body_octets_ = 0;  // sent of this message, stuffing not counted
  bool body_open_ = false;
  bool body_bdat_ = false;
  bool body_at_line_start_ = true;
  bool body_held_cr_ = false;
  bool body_dot_sent_ = false;
  bool ready_ = false;
  bool tls_ = false;
  bool over_ = false;
};

}  // namespace mail::smtp
