// The client side of POP3 (RFC 1939, 2449, 2595, 5034): octets in, events and commands out. No sockets, files, clock or
// threads.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace mail::pop3 {

namespace client {
struct SendOctets {
  std::string octets;
};
/// The answer to the greeting or a command.
struct Reply {
  bool ok = false;
  std::string text;  ///< After "+OK" or "-ERR".
  std::string body;  ///< Of a multi-line reply: dots unstuffed, CRLF line ends, without the final dot.
};
/// "+ text": answer with respond() (AUTH).
struct Continuation {
  std::string text;
};
struct Broken {
  std::string why;
};
}  // namespace client
using ClientEvent = std::variant<client::SendOctets, client::Reply, client::Continuation, client::Broken>;

class ClientSession {
 public:
  /// @param body_octets  the longest multi-line reply that is taken
  explicit ClientSession(std::uint64_t body_octets = 512U << 20U) : most_body_(body_octets) {}

  void receive(std::string_view octets);
  std::optional<ClientEvent> next();
  /// Sends one command; CR, LF and NUL within `line` are refused as Broken. `multi_line`: a body follows "+OK" (RETR,
  /// TOP, LIST, UIDL and CAPA without argument).
  void command(std::string_view line, bool multi_line = false);
  void respond(std::string_view line);
  /// STLS: what came in clear is forgotten.
  void tls_started();
  /// The time stamp of the greeting for APOP, or empty.
  const std::string& timestamp() const { return timestamp_; }

 private:
  void on_line(std::string_view line);

  std::uint64_t most_body_;
  std::string input_;
  std::size_t at_ = 0;        // of input_: taken
  std::size_t searched_ = 0;  // of input_: no line end before this
  std::deque<ClientEvent> events_;
  client::Reply reply_;
  std::string timestamp_;
  bool greeted_ = false;
  bool multi_line_ = false;
  bool in_body_ = false;
  bool broken_ = false;
};

}  // namespace mail::pop3
