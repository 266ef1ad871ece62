// The client side of IMAP (RFC 3501, RFC 9051): octets in, events and commands out. No sockets, files, clock or
// threads; for `mua` and for tests.
//
//   session.receive(octets); while (auto event = session.next()) ...
//
// One command at a time: command() is for when the last one's Completed came (or the Greeting).
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace mail::imap {

/// One value of a response. `BODY[HEADER.FIELDS (SUBJECT)]<0>` is one atom.
struct Value {
  enum class Kind : std::uint8_t { nil, atom, string, list } kind = Kind::nil;
  std::string text;                      ///< Of an atom or string.
  std::vector<Value> items;              ///< Of a list.
  bool is(std::string_view word) const;  ///< An atom, without regard to ASCII case.
  std::optional<std::uint64_t> number() const;
};

/// OK, NO, BAD, PREAUTH or BYE with its response code.
struct StatusText {
  std::string condition;      ///< "OK", …
  std::string code;           ///< "UIDVALIDITY", or empty.
  std::string code_argument;  ///< "3857529045": as it stands.
  std::string text;
  bool ok() const { return condition == "OK" || condition == "PREAUTH"; }
};

namespace client {
struct SendOctets {
  std::string octets;
};
/// The first response; BYE is a refusal.
struct Greeting {
  StatusText status;
};
/// `*` with a status: OK [ALERT], BYE, …
struct UntaggedStatus {
  StatusText status;
};
/// Any other untagged response: `* 12 FETCH (...)` is values {12, FETCH, (...)}.
struct Untagged {
  std::vector<Value> values;
};
/// `+ text` while no literal of ours waits for it: answer with respond() (AUTHENTICATE, IDLE).
struct Continuation {
  std::string text;
};
struct Completed {
  StatusText status;
};
/// The peer broke the protocol or sent more than the limits allow: close.
struct Broken {
  std::string why;
};
}  // namespace client
using ClientEvent = std::variant<client::SendOctets, client::Greeting, client::UntaggedStatus, client::Untagged,
                                 client::Continuation, client::Completed, client::Broken>;

/// A command's arguments, text and strings in turn; the session chooses quotes or literals.
class ClientCommand {
 public:
  explicit ClientCommand(std::string_view text) { pieces_.push_back({std::string(text), false}); }
  ClientCommand& text(std::string_view text);
  /// Quoted, or a literal where it must be.
  ClientCommand& string(std::string_view text);
  /// A mailbox name, UTF-8 here, modified UTF-7 on the wire.
  ClientCommand& mailbox(std::string_view utf8);
  /// Always a literal.
  ClientCommand& literal(std::string_view octets);

 private:
  friend class ClientSession;
  struct Piece {
    std::string octets;
    bool literal = false;
  };
  std::vector<Piece> pieces_;
};

class ClientSession {
 public:
  /// The longest literal taken; a hostile server cannot make more be held.
  explicit ClientSession(std::uint64_t literal_octets = 512U << 20U) : most_literal_(literal_octets) {}

  void receive(std::string_view octets);
  std::optional<ClientEvent> next();

  void command(const ClientCommand& command);
  /// A line in answer to a Continuation; for AUTHENTICATE already in base64, "*" cancels, "DONE" ends IDLE.
  void respond(std::string_view line);
  /// STARTTLS: what came in clear is forgotten, capabilities too.
  void tls_started();

  /// As the server last announced it, upper case; empty while it did not.
  const std::vector<std::string>& capabilities() const { return capabilities_; }
  bool has(std::string_view capability) const;
  /// Capabilities may be others now (after log-in): forgotten unless the server tells them.
  void forget_capabilities() { capabilities_.clear(); }

 private:
  std::optional<std::size_t> whole_response();
  void on_response(std::string_view response);
  void on_tagged(std::string_view rest);
  void on_untagged(std::string_view rest);
  void on_status(const StatusText& status);
  void send_pieces();
  void broken(std::string why);

  std::uint64_t most_literal_;
  std::string input_;
  std::size_t scanned_ = 0;  // of input_: lines and literals known to be whole
  std::deque<ClientEvent> events_;
  std::deque<ClientCommand::Piece> pending_;  // of the command, waiting for a "+"
  std::vector<std::string> capabilities_;
  std::string tag_;
  unsigned number_ = 0;
  bool greeted_ = false;
  bool broken_ = false;
};

/// Parses the values of a response after its tag. syntax where parentheses or strings are not whole.
Result<std::vector<Value>> parse_values(std::string_view text);
/// Parses "OK [CODE args] text"; nothing for other words.
std::optional<StatusText> parse_status(std::string_view text);

}  // namespace mail::imap
