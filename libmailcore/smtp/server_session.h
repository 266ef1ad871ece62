// The server side of RFC 5321 and of LMTP (RFC 2033): octets in, events out. No sockets, files, clock or threads.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "smtp/data_decoder.h"
#include "smtp/extensions.h"
#include "smtp/parameters.h"
#include "smtp/path.h"
#include "smtp/reply.h"

namespace mail::smtp {

/// Octets for the peer: one whole reply. `code` is for the log.
struct SendReply {
  int code;
  std::string_view wire;
};
/// HELO, EHLO or LHLO. To be answered; a positive answer's text is replaced by the announcement. Drops a transaction
/// (RFC 5321 section 4.1.4).
struct CheckHello {
  std::string_view verb;    ///< "HELO", "EHLO", "LHLO"
  std::string_view domain;  ///< As given: anything. Empty only where the lenient switch let it pass.
};
/// MAIL. To be answered. The caller may move from `arguments`.
struct CheckSender {
  MailArguments& arguments;
};
/// RCPT. To be answered. The caller may move from `arguments`.
struct CheckRecipient {
  RcptArguments& arguments;
};
/// DATA or the first BDAT with at least one recipient. To be answered; accept() sends 354 for DATA. A refusal leaves
/// the transaction as it is for DATA; for BDAT the chunk is swallowed.
struct BeginMessage {
  bool chunking;
};
/// A piece of the message: dots unstuffed, lines end with CRLF (but in a BINARYMIME body).
struct BodyOctets {
  std::string_view octets;
};
/// The message will not come whole: connection state, limit or malformed; the caller forgets what it has of it. The
/// session replies by itself.
struct AbandonMessage {
  std::string_view why;
};
/// The message is whole. To be answered: answer() with one reply, or answer_each() with one per accepted recipient
/// (LMTP).
struct EndOfMessage {
  std::uint64_t octets;
};
/// The reply 220 was sent before this: switch to TLS, then call tls_started(). Nothing more comes before that.
struct BeginTls {};
/// AUTH. To be answered with auth_challenge(), auth_succeeded() or auth_failed().
struct AuthBegin {
  std::string_view mechanism;                ///< Upper case, one of those announced.
  std::optional<std::string_view> response;  ///< The initial response, decoded.
};
struct AuthResponse {
  std::string_view response;  ///< Decoded.
};
/// The client sent `*`, or what is not base64; the session has replied 501.
struct AuthCancelled {};
/// VRFY, EXPN where the settings let them be asked. To be answered; lines of a list are separated by LF.
struct Verify {
  std::string_view argument;
};
struct Expand {
  std::string_view argument;
};
/// ETRN (RFC 1985). To be answered.
struct FlushQueue {
  std::string_view argument;
};
/// RSET, a new HELO, or the end of a transaction: the caller forgets sender and recipients.
struct ResetTransaction {};
/// All replies were given: close when they are written.
struct Close {
  std::string_view why;  ///< "quit", "mistakes", "refused", "shutdown"
};

using Event = std::variant<SendReply, CheckHello, CheckSender, CheckRecipient, BeginMessage, BodyOctets, AbandonMessage,
                           EndOfMessage, BeginTls, AuthBegin, AuthResponse, AuthCancelled, Verify, Expand, FlushQueue,
                           ResetTransaction, Close>;

class ServerSession {
 public:
  /// `settings` outlives the session. `tls`: the connection began with TLS (port 465).
  explicit ServerSession(const ServerSettings& settings, bool tls = false);
  ServerSession(ServerSession&&) = default;

  /// The greeting: 220, or the given refusal (554, then only QUIT is understood; 421 closes). Nothing is read before
  /// it.
  void greet(std::optional<Reply> refusal = std::nullopt);
  /// Appends octets from the peer. How the stream is split never changes the events. The octets stay the caller's until
  /// next() has returned nothing.
  void receive(std::string_view octets);
  /// The next event, or nothing while it needs more octets or an answer. Views inside an event are valid until the next
  /// call on this object.
  std::optional<Event> next();

  /// Gives the reply for the last event that is to be answered; pipelined commands wait for it.
  void answer(Reply reply);
  /// Answers with the usual positive reply of the command.
  void accept();
  /// One reply per accepted recipient, in their order, after EndOfMessage (LMTP).
  void answer_each(std::vector<Reply> replies);

  /// Forgets all that came in clear text, unread octets included: an attacker may have put them there (RFC 3207
  /// section 4.2).
  void tls_started();
  void auth_challenge(std::string_view octets);
  void auth_succeeded();
  void auth_failed(Reply reply);

  /// Ends the session with 421 as soon as no answer is pending (SIGTERM, time limits). `text` begins with an enhanced
  /// code.
  void shut_down(std::string_view text);

  /// True while an answer (or tls_started) is awaited: the caller need not read on.
  bool waiting() const { return pending_ != Pending::none; }
  bool in_message() const { return state_ == State::data || state_ == State::chunk; }
  bool in_transaction() const { return have_sender_; }
  bool tls() const { return facts_.tls; }
  bool authenticated() const { return facts_.authenticated; }
  bool esmtp() const { return facts_.esmtp; }
  std::uint32_t mistakes() const { return mistakes_; }
  /// Octets held that no event has used yet.
  std::size_t held_octets() const { return held_.size(); }

 private:
  friend struct ServerCommands;
  enum class State : std::uint8_t { greeting, command, data, chunk, auth, refused, closed };
  enum class Pending : std::uint8_t { none, hello, sender, recipient, data, chunk, end_of_message, tls, auth, other };
  enum class Then : std::uint8_t { nothing, close, begin_tls };  // behind the queued replies

  std::string_view input() const;
  void consume(std::size_t octets);
  void keep_input();
  std::optional<Event> due();
  std::optional<Event> take_input();
  std::optional<Event> take_command();
  std::optional<Event> take_auth_line();
  std::optional<Event> take_body();
  DataDecoder::Step decode(std::string_view in);
  std::optional<Event> on_step(const DataDecoder::Step& step);
  std::optional<Event> body_octets(std::string_view piece);
  std::optional<Event> end_of_body();
  enum class Line : std::uint8_t { none, whole, too_long };
  Line take_line(std::size_t most);  // into line_, without its end
  void queue(const Reply& reply);
  void abandon(std::string_view why, Reply verdict);
  void begin_body();
  void end_transaction();
  void close(std::string_view why);
  void answer_hello(Reply reply);
  void answer_message(const Reply& reply);

  const ServerSettings* settings_;
  SessionFacts facts_;
  State state_ = State::greeting;
  Pending pending_ = Pending::none;
  Then then_ = Then::nothing;
  bool greeted_ = false;         // HELO, EHLO or LHLO was accepted
  bool extended_hello_ = false;  // the hello being answered is EHLO or LHLO
  bool have_sender_ = false;
  bool smtputf8_ = false;  // of the transaction
  bool binary_ = false;    // BODY=BINARYMIME
  bool tried_recipient_ = false;
  bool skipping_line_ = false;  // a line over the limit: dropped up to its end
  bool reset_due_ = false;
  bool abandon_due_ = false;
  bool message_begun_ = false;  // BeginMessage was accepted: the caller holds a message
  bool chunking_ = false;       // a message by BDAT is under way
  bool last_chunk_ = false;
  bool swallow_ = false;           // the chunk is read and dropped
  bool swallow_answered_ = false;  // and its reply was given at once
  std::uint32_t accepted_recipients_ = 0;
  std::uint32_t transactions_ = 0;
  std::uint32_t mistakes_ = 0;
  std::uint64_t chunk_octets_ = 0;  // of the chunk being read
  std::uint64_t chunk_left_ = 0;
  std::uint64_t message_octets_ = 0;
  Reply verdict_;  // the refusal of the message being read; code 0: none
  DataDecoder decoder_;
  std::string_view view_;  // unread octets of the last receive(); used where held_ is empty
  std::string held_;       // unread octets kept between calls
  std::size_t held_used_ = 0;
  std::optional<CheckHello> deferred_;  // comes behind the ResetTransaction it causes
  std::string mechanism_;
  std::string line_;    // the command being handled: views in events point here
  std::string queued_;  // replies to send before anything else
  std::string wire_;    // the reply of the last SendReply
  int queued_code_ = 0;
  std::string shut_down_;
  std::string_view why_closed_;
  std::string_view why_abandoned_;
  MailArguments mail_;
  RcptArguments rcpt_;
};

}  // namespace mail::smtp
