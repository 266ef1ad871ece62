// Our side of a conversation with one mail filter (milter protocol, protocol.h): commands out, verdicts and changes in.
// No sockets, files, clock or threads.
//
// One command at a time: each is followed by exactly one Answered, at once where the filter wants no such step or does
// not answer to it, and not before it has come otherwise. Which steps those are is known when start() is answered.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ip_address.h"
#include "milter/packet.h"
#include "milter/protocol.h"
#include "smtp/reply.h"

namespace mail::milter {

/// Name and value, the name as Sendmail writes it: "i", "{auth_authen}".
using Macros = std::vector<std::pair<std::string, std::string>>;

/// What a filter says to a command.
struct Verdict {
  enum class Kind {
    go_on,
    accept,   ///< It wants to see no more of this message; at connect and HELO: of this connection.
    refuse,   ///< `reply` says how: 4xx or 5xx.
    discard,  ///< The message is taken and dropped.
    skip,     ///< No more of the body.
  };
  Kind kind = Kind::go_on;
  smtp::Reply reply;
  bool operator==(const Verdict&) const = default;
};

/// Changes to a message; they come between end_of_message() and its Answered. Line ends of header values are CRLF, each
/// continued line begins with a blank. `spaced`: the value begins with what follows the colon.
struct AddHeader {
  std::string name, value;
  bool spaced = false;
  bool operator==(const AddHeader&) const = default;
};
struct InsertHeader {
  std::uint32_t index = 0;  ///< 0: before the first field, our Received included.
  std::string name, value;
  bool spaced = false;
  bool operator==(const InsertHeader&) const = default;
};
struct ChangeHeader {
  std::uint32_t index = 1;  ///< Which of the fields of that name, from 1.
  std::string name, value;  ///< An empty value deletes the field.
  bool spaced = false;
  bool operator==(const ChangeHeader&) const = default;
};
struct ReplaceBody {
  std::string octets;  ///< The next piece of the new body.
  bool operator==(const ReplaceBody&) const = default;
};
struct AddRecipient {
  std::string path, parameters;
  bool operator==(const AddRecipient&) const = default;
};
struct DeleteRecipient {
  std::string path;
  bool operator==(const DeleteRecipient&) const = default;
};
struct ChangeFrom {
  std::string path, parameters;
  bool operator==(const ChangeFrom&) const = default;
};
struct Quarantine {
  std::string reason;
  bool operator==(const Quarantine&) const = default;
};
using Change = std::variant<AddHeader, InsertHeader, ChangeHeader, ReplaceBody, AddRecipient, DeleteRecipient,
                            ChangeFrom, Quarantine>;

/// Octets for the filter; valid until the next call on the session.
struct SendOctets {
  std::string_view octets;
};
struct Answered {
  Verdict verdict;
};
struct Changed {
  Change change;
};
/// The filter is at work: time limits begin anew.
struct Progress {};
/// The filter does not keep to the protocol, or will not go on; the connection is of no more use. Takes the place of
/// Answered.
struct Broken {
  std::string why;
};
using Event = std::variant<SendOctets, Answered, Changed, Progress, Broken>;

class Session {
 public:
  /// Negotiates (SMFIC_OPTNEG). Answered go_on: agreed.
  void start();
  /// @param name  of the client by DNS, or its address in brackets  @param address  nothing: a Unix socket
  void connect(std::string_view name, const std::optional<IpAddress>& address, std::uint16_t port,
               const Macros& macros);
  void helo(std::string_view name, const Macros& macros);
  /// @param path  with its brackets  @param parameters  "SIZE=1000"…
  void mail(std::string_view path, const std::vector<std::string>& parameters, const Macros& macros);
  void recipient(std::string_view path, const std::vector<std::string>& parameters, const Macros& macros);
  void data(const Macros& macros);
  /// @param value  what follows the colon, without the last line end; folded with CRLF
  void header(std::string_view name, std::string_view value);
  void end_of_header(const Macros& macros);
  /// At most kChunkOctets. Answered skip: leave out the rest.
  void body(std::string_view octets);
  void end_of_message(const Macros& macros);
  /// The message goes no further; the connection stays for the next one. No Answered.
  void abort();
  /// No Answered.
  void quit();

  void receive(std::string_view octets);
  /// The next event, or nothing while it needs more octets or a command.
  std::optional<Event> next();
  bool waiting() const { return awaited_.has_value(); }
  bool wants_body() const { return (steps_ & kNoBody) == 0; }

 private:
  void command(Command what, std::string_view data, std::uint32_t skip, std::uint32_t no_reply);
  void send_macros(Stage stage, Command before, const Macros& macros);
  void answer(Verdict verdict);
  void broken(std::string why);
  void on_packet(const Packet& packet);
  void on_negotiated(std::string_view data);
  bool on_verdict(const Packet& packet);
  bool on_change(const Packet& packet);
  std::optional<Change> parse_change(const Packet& packet) const;

  PacketReader reader_;
  std::optional<Command> awaited_;
  bool broken_ = false;
  std::uint32_t version_ = kVersion;
  std::uint32_t actions_ = 0;
  std::uint32_t steps_ = 0;
  std::array<std::string, kStages> wanted_macros_;
  std::string out_, sent_;
  std::deque<Event> events_;
};

}  // namespace mail::milter
