// One client's conversation with one mail filter: milter::Session over a connection, with time limits.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/alive.h"
#include "milter/session.h"
#include "mta/serve/filter/settings.h"
#include "net/connector.h"

namespace mail::mta {

class FilterClient final : private net::Connection::Handler {
 public:
  using Command = std::function<void(milter::Session&)>;
  /// The verdict, or why there is none: then the connection is gone. Later on the loop, never from within a call, never
  /// after the object is gone.
  using Done = std::function<void(Result<milter::Verdict>)>;

  FilterClient(net::Loop& loop, const Filters& filters, const Filter& filter);
  ~FilterClient() override;

  /// Connects and negotiates.
  void open(Done done);
  bool is_open() const { return connection_ != nullptr; }
  /// One command of milter::Session.
  void ask(const Command& command, std::chrono::milliseconds limit, Done done);
  /// Header, body and the end of a message: as many commands as that takes; one verdict. `next` issues the next command
  /// each time, told what the one before was answered, and says whether it was the last.
  using Feed = std::function<bool(milter::Session&, milter::Verdict::Kind before)>;
  void feed(Feed next, Done done);
  /// What the filter wants changed, since the last call.
  std::vector<milter::Change> take_changes();
  /// The message is not finished: the filter forgets it.
  void abort_message();

  const Filter& filter() const { return filter_; }

 private:
  void on_octets(std::string_view octets) override;
  void on_drained() override;
  void on_closed(net::CloseReason reason) override;
  void pump();
  void answered(const milter::Verdict& verdict);
  void feed_on(milter::Verdict::Kind before);
  void finish(Result<milter::Verdict> result);
  void fail_with(std::string why);
  void restart_timer();

  net::Loop& loop_;
  const Filters& filters_;
  const Filter& filter_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<milter::Session> session_;
  std::chrono::milliseconds limit_{};
  Done done_;
  Feed feed_;
  bool last_fed_ = false;
  std::optional<milter::Verdict::Kind> held_up_;  // the next piece waits until output has drained
  bool pumping_ = false;
  std::size_t body_octets_ = 0;
  std::vector<milter::Change> changes_;
  Alive alive_;
};

}  // namespace mail::mta
