// All mail filters of one client, asked one after the other at each stage. A whole message goes to one filter after the
// other: each sees what those before it have changed.
//
// A filter that cannot be reached while the client connects or says HELO is tried again at the next MAIL, and told then
// what it has missed; its failure action is taken from there on.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/alive.h"
#include "milter/header_list.h"
#include "mta/serve/filter/filter_client.h"
#include "mta/serve/filter/held_body.h"

namespace mail::mta {

/// A message as the filters make it.
struct FilteredMessage {
  milter::HeaderList header;
  HeldBody body;
  bool changed = false;
};

/// What the filters want of the envelope; in their order.
struct EnvelopeChanges {
  std::vector<milter::Change> list;  ///< AddRecipient, DeleteRecipient, ChangeFrom.
  std::optional<std::string> quarantine;
  bool discard = false;
};

class FilterChain {
 public:
  /// A refusal, or nothing. At once or later on the loop, never after the object is gone.
  using Done = std::function<void(std::optional<smtp::Reply>)>;
  using Parameters = std::vector<std::string>;
  struct Peer {
    std::string name;
    std::optional<IpAddress> address;  ///< Nothing: a Unix socket.
    std::uint16_t port = 0;
  };

  FilterChain(net::Loop& loop, const Filters& filters);
  ~FilterChain();

  void connected(Peer peer, milter::Macros macros, Done done);
  void hello(std::string name, milter::Macros macros, Done done);
  void sender(std::string path, Parameters parameters, milter::Macros macros, Done done);
  void recipient(std::string path, Parameters parameters, milter::Macros macros, Done done);
  void data(milter::Macros macros, Done done);
  /// `message` stays where it is until the answer; changed in place.
  void message(FilteredMessage& message, milter::Macros macros, Done done);
  /// The transaction is over, whichever way.
  void reset();

  const EnvelopeChanges& changes() const { return changes_; }

 private:
  struct Link;
  using Step = std::function<void(Link&, FilterClient::Done)>;
  enum class At { connection, message };

  void run(At at, Step step, Done done);
  void run_from(std::size_t index, At at, const Step& step, const Done& done);
  /// True: on to the next filter.
  bool heed(Link& link, At at, const Result<milter::Verdict>& verdict, std::optional<smtp::Reply>& refusal);
  std::optional<smtp::Reply> failed(Link& link);
  void reopen(Link& link, bool helo, FilterClient::Done done);
  void feed(Link& link, FilteredMessage& message, const milter::Macros& macros, FilterClient::Done done);
  void apply(FilteredMessage& message, const std::vector<milter::Change>& changes);

  const Filters& filters_;
  std::vector<std::unique_ptr<Link>> links_;
  Peer peer_;
  std::string helo_;
  milter::Macros connect_macros_, helo_macros_;
  EnvelopeChanges changes_;
  Alive alive_;
};

}  // namespace mail::mta
