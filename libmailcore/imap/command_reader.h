// The server's side of the wire (RFC 9051 section 2.2): octets in, commands out. Knows lines, quotes, literals and
// limits; what a command means is imapd's. How the stream is split never changes the events.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace mail::imap {

struct ReaderLimits {
  std::size_t line_octets = 65536;  ///< Of a command without its literals; RFC 7162 section 4 asks for 8192 at least.
  std::uint64_t literal_octets = 1U << 20;  ///< Of all literals of one command that stay in memory.
  /// Of a literal of APPEND, REPLACE and CATENATE; 0: none may come.
  std::uint64_t message_octets = 64U << 20;
  /// A non-synchronizing literal that is refused is read away up to this; behind a larger one the session ends: waiting
  /// for its end is waiting for the attacker.
  std::uint64_t skip_octets = 256U << 20;
};

class CommandReader {
 public:
  /// A whole command. The views are valid until finish(). Answer it, then call finish().
  struct Command {
    std::string_view tag;
    std::string_view name;       ///< Upper case; `UID FETCH` for the UID forms.
    std::string_view arguments;  ///< Behind the name and its space, in wire form: see Arguments.
  };
  /// A literal is announced: call accept_literal() or refuse_literal(). For a synchronizing one accept, then write `+
  /// …`.
  struct Literal {
    std::string_view tag;
    std::string_view name;
    std::uint64_t octets;
    bool synchronizing;
  };
  /// Part of a diverted literal. `last`: it is complete.
  struct LiteralOctets {
    std::string_view octets;
    bool last;
  };
  /// A line behind expect_line(): AUTHENTICATE's responses, DONE.
  struct Line {
    std::string_view text;
  };
  /// Not to be executed; answer it with `tag BAD` or, where `too_big`, `tag NO [TOOBIG]`. Reading is in step again,
  /// unless `fatal`: then BYE.
  struct Refused {
    std::string tag;  ///< `*` where there was none.
    std::string text;
    bool too_big = false;
    bool fatal = false;
  };
  using Event = std::variant<Command, Literal, LiteralOctets, Line, Refused>;

  explicit CommandReader(const ReaderLimits& limits) : limits_(&limits) {}

  void receive(std::string_view octets);
  std::optional<Event> next();
  /// The command of the last event is answered: its octets are dropped, the next one may come.
  void finish();
  void accept_literal();
  /// The literal does not go into the command but comes as LiteralOctets; the command holds `{#n}` CRLF in its place,
  /// which no client can send.
  void divert_literal();
  /// The rest of the command is read away without being kept; then Refused comes with this text.
  void refuse_literal(std::string text, bool too_big);
  /// The next line belongs to the command that is being executed.
  void expect_line() { expects_line_ = true; }
  /// As is a new session's: all that came before is forgotten (RFC 9051 section 6.2.1), an attacker may have put it
  /// there.
  void tls_started();
  void set_limits(const ReaderLimits& limits) { limits_ = &limits; }
  /// Octets that are held: for tests of the bound.
  std::size_t held() const { return buffer_.size() + incoming_.size(); }

 private:
  enum class State : std::uint8_t { line, literal_asked, literal, diverted, skip_line, skip_literal };
  std::optional<Event> next_in_line();
  std::optional<Event> next_in_literal();
  std::optional<Event> next_diverted();
  std::optional<Event> next_while_skipping();
  std::optional<Event> line_ended(std::size_t end, std::size_t length);
  std::optional<Event> command(std::size_t end);
  std::optional<Event> announce(std::size_t brace, std::size_t end);
  Event refused();
  void refuse(std::string text, bool too_big = false, bool fatal = false);
  void parse_head(std::string_view text);
  bool takes_messages() const;

  const ReaderLimits* limits_;
  std::string buffer_;       ///< The command so far from 0, then what has not been looked at.
  std::string incoming_;     ///< What came while a command is being executed.
  std::size_t scanned_ = 0;  ///< Up to here buffer_ is read.
  std::size_t line_octets_ = 0;
  std::uint64_t literal_octets_ = 0;  ///< Kept in this command.
  std::uint64_t remaining_ = 0;       ///< Of the literal that is being read.
  std::size_t command_end_ = 0;       ///< Behind the line end of the command that is being executed.
  std::size_t brace_ = 0;             ///< Of the literal asked about.
  std::uint32_t diverted_ = 0;
  State state_ = State::line;
  bool quoted_ = false;
  bool escaped_ = false;
  bool executing_ = false;
  bool expects_line_ = false;
  bool synchronizing_ = false;
  bool nul_ = false;
  std::string tag_, name_;
  std::size_t arguments_at_ = 0;
  std::optional<Refused> refusal_;
};

}  // namespace mail::imap
