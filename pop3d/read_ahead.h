// Opens messages on worker threads, some ahead of a client that takes them one after the other: the loop never waits
// for the disk, and a message that is asked for is mostly there, in the form in which it is sent.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/alive.h"
#include "net/worker_pool.h"
#include "pop3d/snapshot.h"
#include "store/mailbox.h"

namespace mail::pop3d {

class ReadAhead {
 public:
  using Opened = Result<std::shared_ptr<store::MessageFile>>;
  struct Fetched {
    Opened file;
    std::string body = {};  ///< pop3::ServerSession::whole_body(), in place of the file; empty: the file is there.
  };
  using Done = std::function<void(Fetched)>;

  ReadAhead(net::WorkerPool& workers, net::Loop& loop, std::shared_ptr<store::View> view,
            std::shared_ptr<const Snapshot> snapshot);
  /// Gives the message to `done`, perhaps before it returns. One call at a time.
  /// @param whole  it is wanted whole (RETR): where it is small and nothing speaks against it, its body is made
  void get(std::size_t index, bool whole, Done done);

 private:
  static constexpr std::size_t kOctetsAhead = 256 * 1024;  ///< What an idle session may hold.
  static constexpr std::size_t kMessagesAhead = 64;
  static constexpr std::size_t kBodyOctets = 128 * 1024;  ///< Larger messages are converted as the peer takes them.
  struct Item {
    std::size_t index;
    Fetched message;
  };
  std::optional<Fetched> take_ready(std::size_t index);
  std::optional<Fetched> from_memory(std::size_t index);
  static Fetched made(Opened file, bool whole);
  std::size_t ahead() const;
  bool make_ready(std::size_t index);
  void make_next();
  void fetch(std::size_t first, std::size_t count);
  void arrived(std::vector<Item> items);
  void top_up();

  net::WorkerPool& workers_;
  net::Loop& loop_;
  std::shared_ptr<store::View> view_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::deque<Item> ready_;
  std::size_t octets_ready_ = 0;
  bool fetching_ = false;
  bool in_memory_ = false;       ///< The last message that was looked for there was in the kernel's memory.
  bool making_ = false;          ///< make_next() is going to be called.
  std::size_t fetch_end_ = 0;    ///< One behind the last index asked of a worker.
  std::size_t last_ = SIZE_MAX;  ///< The last index given out.
  std::size_t run_ = 0;          ///< How many were taken in order.
  std::size_t wanted_ = 0;
  bool whole_ = false;  ///< What is wanted, and what is fetched ahead.
  Done done_;
  Alive alive_;
};

}  // namespace mail::pop3d
