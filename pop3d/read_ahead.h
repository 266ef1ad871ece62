// Opens messages on worker threads, some ahead of a client that takes them one after the other: the loop never waits
// for the disk, and a message that is asked for is mostly there.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "base/alive.h"
#include "net/worker_pool.h"
#include "pop3d/snapshot.h"
#include "store/mailbox.h"

namespace mail::pop3d {

class ReadAhead {
 public:
  using Opened = Result<std::shared_ptr<store::MessageFile>>;
  using Done = std::function<void(Opened)>;

  ReadAhead(net::WorkerPool& workers, net::Loop& loop, std::shared_ptr<store::View> view,
            std::shared_ptr<const Snapshot> snapshot);
  /// Gives the message to `done`, perhaps before it returns. One call at a time.
  void get(std::size_t index, Done done);

 private:
  static constexpr std::size_t kOctetsAhead = 256 * 1024;  ///< What an idle session may hold.
  static constexpr std::size_t kMessagesAhead = 64;
  struct Item {
    std::size_t index;
    Opened file;
  };
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
  std::size_t fetch_end_ = 0;    ///< One behind the last index asked of a worker.
  std::size_t last_ = SIZE_MAX;  ///< The last index given out.
  std::size_t run_ = 0;          ///< How many were taken in order.
  std::size_t wanted_ = 0;
  Done done_;
  Alive alive_;
};

}  // namespace mail::pop3d
