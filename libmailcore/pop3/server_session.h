// The server side of POP3: RFC 1939 with RFC 2449 (CAPA), 2595 (STLS), 3206 (AUTH-RESP-CODE), 5034 (AUTH) and 6856
// (UTF8, LANG). No sockets, files, clock or threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "pop3/message_writer.h"
#include "pop3/texts.h"

namespace mail::pop3 {

/// The messages that a session sees, as they were when it logged in (RFC 1939 section 4: numbers never change during
/// it).
class Maildrop {
 public:
  virtual ~Maildrop() = default;
  virtual std::size_t count() const = 0;
  virtual std::uint64_t total_octets() const = 0;
  /// @param index  message number - 1
  /// @return octets on the wire, lines ended by CRLF, before dot-stuffing
  virtual std::uint64_t octets(std::size_t index) const = 0;
  /// 1 to 70 octets of 0x21-0x7E, for ever the same for this message (RFC 1939 section 7).
  virtual std::string unique_id(std::size_t index) const = 0;
};

struct Options {
  std::string implementation = "Relais";
  bool tls_active = false;                    ///< POP3S
  bool tls_available = false;                 ///< STLS can be offered
  bool allow_plaintext = false;               ///< USER/PASS without TLS
  std::vector<std::string> clear_mechanisms;  ///< SASL mechanisms without TLS, upper case
  std::vector<std::string> tls_mechanisms;    ///< and with it
  /// `<unique@host>` for APOP's greeting; empty where no plain secrets are kept.
  std::string apop_timestamp;
  std::optional<unsigned> expire_days;  ///< CAPA EXPIRE; nothing: NEVER
  unsigned login_delay_seconds = 0;     ///< CAPA LOGIN-DELAY; 0: not announced
  unsigned errors_before_close = 20;
};

/// What is to be done. Views inside an event are valid until the next call on the session.
struct Send {
  std::string_view octets;
};
struct BeginTls {};
/// Answer: accept() or refuse(). The views hold neither NUL nor line ends.
struct CheckPassword {
  std::string_view user;
  std::string_view password;
};
/// The digest is 32 lower-case hexadecimal digits: MD5 of the timestamp followed by the secret.
struct CheckApop {
  std::string_view user;
  std::string_view timestamp;
  std::string_view digest;
};
/// Answer: challenge(), accept() or refuse(). The name is one of the options' mechanisms.
struct BeginSasl {
  std::string_view mechanism;
  std::optional<std::string_view> initial_response;  ///< decoded
};
struct SaslResponse {
  std::string_view octets;  ///< decoded
};
/// The exchange that was begun is over; no answer.
struct SaslCancelled {};
/// Answer: message_begins(), then message_octets() until it says false or all is given, then message_ends(); or
/// message_whole(), where it is wanted whole; or refuse().
struct Retrieve {
  std::size_t index;
  bool whole = true;  ///< RETR rather than TOP.
};
/// QUIT: these messages are removed now. Answer: removed().
struct Remove {
  std::vector<std::size_t> indices;
};
struct Close {};
using Event = std::variant<Send, BeginTls, CheckPassword, CheckApop, BeginSasl, SaslResponse, SaslCancelled, Retrieve,
                           Remove, Close>;

/// Why a login or a message is refused: each has its response code (RFC 2449 section 8, RFC 3206).
enum class Refusal { credentials, too_soon, in_use, temporary, permanent, gone };

class ServerSession {
 public:
  /// The longest command line without its CRLF (RFC 2449 section 4 says 255 with it).
  static constexpr std::size_t kCommandOctets = 253;
  /// The longest line of a SASL exchange: what SMTP gives it (RFC 4954 section 4), RFC 5034 names no limit.
  static constexpr std::size_t kSaslLineOctets = 12288;
  /// Unread input above which the caller stops reading from the peer: pipelined commands wait in its socket.
  static constexpr std::size_t kInputOctets = 16384;

  explicit ServerSession(Options options);

  /// Appends octets from the peer. How the stream is split never changes the events.
  void receive(std::string_view octets);
  /// The next event, or nothing while it needs more octets or an answer. The first one is the greeting.
  std::optional<Event> next();
  /// The octets of the Send that next() gave, without a copy; they are no longer shown by it.
  std::string take_sent() {
    output_given_ = false;
    return std::exchange(output_, {});
  }
  /// True while so much unread input waits that no more should be read.
  bool input_full() const { return input_.size() - consumed_ > kInputOctets; }

  /// The handshake that BeginTls asked for is done. Forgets all that came in clear text, unread octets included: an
  /// attacker may have put them there (RFC 2595 section 4).
  /// @param mechanisms  what replaces Options::tls_mechanisms now that the channel is known (SCRAM's -PLUS variants)
  void tls_started(std::optional<std::vector<std::string>> mechanisms = {});
  /// The peer is logged in. `maildrop` must outlive the session.
  void accept(const Maildrop& maildrop);
  /// Answers CheckPassword, CheckApop, BeginSasl, SaslResponse or Retrieve.
  void refuse(Refusal refusal);
  void challenge(std::string_view octets);
  void message_begins();
  /// Stored octets of the message, LF or CRLF. @return false once TOP has enough.
  bool message_octets(std::string_view stored);
  void message_ends();
  /// The whole of a stored message as RETR sends it after the first line of its reply; nothing where that depends on
  /// the session (a header with 8-bit text). Of any thread.
  static std::optional<std::string> whole_body(std::string_view stored);
  /// @param body  what whole_body() gave
  void message_whole(std::string body);
  /// Answers Remove. @param all  every message is gone for good (RFC 1939 section 6: -ERR where one is not)
  void removed(bool all);
  /// Ends the session from outside, without update: the reply to no command, then Close.
  void end(Text reason);

  bool logged_in() const { return maildrop_ != nullptr; }

 private:
  friend struct Commands;
  enum class State : unsigned char { authorization, transaction, update, closed };
  struct Listing {
    bool unique_ids;
    std::size_t next;
  };

  void reply(bool ok, std::string_view words, std::string_view code = {});
  void reply_text(Text which) { reply(true, text(language_, which)); }
  void reply_size();
  void error(Text which, std::string_view code = {});
  void close() { state_ = State::closed; }
  bool take_line(std::string_view& line);
  void run(std::string_view line);
  void sasl_line(std::string_view line);
  void await(Event event);
  void answered();
  void forget_sent();
  void list_more();
  bool plaintext_allowed() const { return options_.tls_active || options_.allow_plaintext; }
  const std::vector<std::string>& mechanisms() const {
    return options_.tls_active ? options_.tls_mechanisms : options_.clear_mechanisms;
  }
  bool is_deleted(std::size_t index) const { return !deleted_.empty() && deleted_[index]; }

  Options options_;
  State state_ = State::authorization;
  Language language_ = Language::english;
  bool awaiting_ = false;
  bool in_sasl_ = false;
  bool utf8_ = false;
  bool skipping_ = false;  ///< An overlong line is read to its end.
  bool closed_told_ = false;
  unsigned errors_ = 0;
  std::string input_;
  std::size_t consumed_ = 0;
  std::size_t searched_ = 0;  ///< No line end before this offset: octet-wise input stays linear.
  std::string output_;
  bool output_given_ = false;
  std::optional<Event> event_;
  std::string argument_;  ///< Keeps what the event's views show.
  std::string secret_;
  std::string user_;
  const Maildrop* maildrop_ = nullptr;
  std::vector<bool> deleted_;
  std::size_t deleted_count_ = 0;
  std::uint64_t deleted_octets_ = 0;
  std::optional<Listing> listing_;
  std::size_t retrieving_ = 0;  ///< Index of the message of RETR or TOP.
  std::uint64_t top_lines_ = MessageWriter::kWhole;
  std::optional<MessageWriter> writer_;
  std::string held_header_;  ///< Octets until the header is whole, for a client without UTF8.
  bool header_done_ = false;
};

}  // namespace mail::pop3
