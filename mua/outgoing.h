// Sending: into the spool, by submission, or into the outbox until the host is there again.
#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "mua/connection.h"
#include "spool/envelope.h"

namespace mail::mua {

/// A message with its envelope, ready to go. The content has CRLF line ends.
struct Outgoing {
  spool::Envelope envelope;
  std::string content;
};

/// Where mail goes out.
struct Way {
  std::optional<Login> submission;  ///< Else the spool.
  std::string spool_directory;
  std::string host_name;  ///< For EHLO.
};

struct Sent {
  enum class How : unsigned char { spooled, submitted, kept } how = How::spooled;
  std::string detail;  ///< The reply of the server, or why it was kept.
};

/// Sends by `way`; success means durable: in the spool, accepted by the server, or (where that is away) in the outbox.
/// Of several recipients those that the server wants later stay in the outbox; permanent where it refused some for
/// good, the others being safe.
Result<Sent> send(const Outgoing& message, const Way& way, const std::string& outbox);

/// What became of the recipients of one message. An Error instead: nobody got it.
struct Outcome {
  std::string accepted;                     ///< The reply for those who got it; empty: nobody.
  std::vector<std::size_t> later, refused;  ///< Places among the recipients: 4yz, 5yz.
  std::string why;                          ///< The replies to both.
};
Result<Outcome> submit(const Outgoing& message, const Way& way);
Status drop_into_spool(const Outgoing& message, const Way& way);

/// Keeps the message as a file of its own, durable when it returns; in the place of one with the same id.
Status keep_in_outbox(const Outgoing& message, const std::string& outbox);
struct OutboxEntry {
  std::string name;
  Outgoing message;
};
Result<std::vector<OutboxEntry>> list_outbox(const std::string& outbox);
Status remove_from_outbox(const std::string& name, const std::string& outbox);

struct Flushed {
  std::size_t sent = 0, left = 0;
  std::vector<Error> errors;  ///< Why something is left.
};
/// Sends what waits. Who got a message is taken out of it, so that nobody gets it again. One flush at a time: temporary
/// where another one is at work.
Result<Flushed> flush_outbox(const Way& way, const std::string& outbox);

}  // namespace mail::mua
