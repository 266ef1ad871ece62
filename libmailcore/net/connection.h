// One stream, in clear or under TLS, on one loop. Lean: an idle connection holds no buffer.
//
// Handler functions may call anything here, and may destroy the connection (and themselves) from within any callback.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "net/address.h"
#include "net/loop.h"
#include "net/tls_context.h"

struct event;

namespace mail::net {

class TlsStream;

enum class CloseReason {
  peer_closed,  ///< Orderly end from the peer: FIN, under TLS after close_notify.
  truncated,    ///< Under TLS: FIN without close_notify. A message cut short is never accepted.
  error,        ///< Reset or another socket error.
  tls_failed,   ///< Handshake or record layer; error_text() says what.
  timeout,      ///< A time limit without a handler of its own.
  closed_here,  ///< After close_when_written(): all is written.
  no_memory,
};
std::string_view to_string(CloseReason reason);

class Connection {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    /// Octets from the peer; the view is valid until the call returns.
    virtual void on_octets(std::string_view octets) = 0;
    /// Output fell below the low-water mark after it had been above the high one, or after want_drained().
    virtual void on_drained() {}
    virtual void on_tls_started() {}
    /// The peer has finished sending but may still read (FIN; `nc` and scripts do so). True: the connection stays open
    /// for writing until close_when_written(); false: what is queued is written, then on_closed(peer_closed).
    virtual bool on_end_of_input() { return false; }
    /// The last call: the descriptor is closed. Not called after abort() or the destructor.
    virtual void on_closed(CloseReason reason) = 0;
  };

  /// Takes over a connected, or connecting, descriptor. Reading starts in the loop's next batch; with `paused` at
  /// resume_reading().
  Connection(Loop& loop, UniqueFd fd, SocketAddress local, SocketAddress peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void set_handler(Handler* handler);  ///< Set before the loop next runs; may be changed later.
  Loop& loop() const { return loop_; }
  const SocketAddress& peer() const { return peer_; }
  const SocketAddress& local() const { return local_; }
  /// The peer as the PROXY header gave it; peer() then answers it too.
  void set_addresses(SocketAddress local, SocketAddress peer);
  int fd() const { return fd_.get(); }

  /// Queues octets; all of one batch go out in one write. After close_when_written() or the end: dropped.
  void write(std::string_view octets);
  void write(std::string&& octets);  ///< Without a copy where nothing is queued.
  void write(const char* text) { write(std::string_view(text)); }
  /// Writes now what is queued rather than at the end of the batch.
  void flush();
  std::size_t pending_output() const { return output_.size() - written_; }
  /// Above `high` octets of output, reading pauses by itself until it is below `low`, and on_drained() is called then.
  void set_water_marks(std::size_t low, std::size_t high);
  bool above_high_water() const { return pending_output() > high_water_; }
  /// Calls on_drained() as soon as output is below the low-water mark, at the earliest at the end of this batch.
  void want_drained();

  void pause_reading();  ///< Counted: as many resumes as pauses.
  void resume_reading();

  /// Server side: what is queued goes out in clear, then the handshake starts. Octets already handed to on_octets() are
  /// the session's to drop (RFC 3207 section 4.2).
  void start_tls(std::shared_ptr<const TlsContext> context);
  /// Client side. A failed verification closes with tls_failed.
  void start_tls(std::shared_ptr<const TlsContext> context, const TlsPeer& peer);
  bool is_tls() const { return tls_ready_; }
  std::optional<TlsInfo> tls_info() const;
  /// Channel bindings, see tls_context.h; empty without TLS.
  std::string tls_exporter() const;
  std::string tls_server_end_point() const;

  /// One time limit at a time, from now; it is not moved by traffic. `on_time` absent: the connection closes with
  /// `timeout`. A stage's limit is set when the stage begins (RFC 5321 section 4.5.3.2); to count from the last octet
  /// call it in on_octets().
  void set_timeout(std::chrono::milliseconds after, Task on_time = {});
  void clear_timeout();
  /// While `octets_per_second` is not zero: fewer octets read than this on average over each `window` counts as a
  /// timeout (slow-loris within a long stage).
  void set_least_rate(std::uint64_t octets_per_second, std::chrono::milliseconds window = std::chrono::minutes(1));

  /// Writes what is queued, sends close_notify and FIN, reads away the rest for at most two seconds (so that the peer
  /// gets the last reply and not a reset), then on_closed(closed_here).
  void close_when_written();
  /// Closes at once with a reset; on_closed() is not called.
  void abort();
  bool is_open() const { return static_cast<bool>(fd_); }
  bool is_closing() const { return closing_; }
  const std::string& error_text() const;
  std::uint64_t octets_read() const { return octets_read_; }
  std::uint64_t octets_written() const { return octets_written_; }
  /// Something that lives as long as the connection: a place in the server's limits.
  void hold(std::shared_ptr<void> token) { token_ = std::move(token); }

 private:
  struct Events;
  struct Rare;  // what few connections need: TLS in the making, error text, the watch over the rate
  static void on_read_event(int fd, short what, void* self) noexcept;
  static void on_write_event(int fd, short what, void* self) noexcept;
  static void on_timer_event(int fd, short what, void* self) noexcept;
  template <class Step>
  void guarded(Step step) noexcept;
  void readable();
  void read_away();
  void end_of_input();
  bool write_some();
  void flush_and_notify();
  void notify_drained();
  void written_all();
  void shut_down_sending();
  void begin_handshake();
  void continue_handshake();
  void expired();
  bool too_slow();
  void update_events();
  void schedule_end_of_batch();
  void end_of_batch();
  void arm_timer();
  void finish(CloseReason reason);
  void release();
  Rare& rare();

  Loop& loop_;
  Handler* handler_ = nullptr;
  UniqueFd fd_;
  SocketAddress local_, peer_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<Rare> rare_;
  std::unique_ptr<TlsStream> tls_;
  std::string output_;
  std::size_t written_ = 0;
  std::size_t low_water_ = std::size_t{16} * 1024, high_water_ = std::size_t{256} * 1024;
  SteadyTime deadline_{};
  Task on_time_;
  std::uint64_t octets_read_ = 0, octets_written_ = 0;
  std::shared_ptr<void> token_;
  std::shared_ptr<Connection*> self_;  // holds null once destroyed: deferred work and running callbacks look here
  int paused_ = 0;
  bool tls_ready_ = false;    // the handshake is done
  bool tls_pending_ = false;  // the handshake starts when the clear output is written
  bool in_callback_ = false;  // output is flushed when the handler returns
  bool scheduled_ = false;    // end_of_batch() is deferred
  bool blocked_ = false;      // the socket takes no more; waiting until it is writable
  bool failed_ = false;       // writing failed: finish(error) at the end of the batch
  bool held_back_ = false;    // above the high-water mark: reading pauses
  bool want_drained_ = false;
  bool input_ended_ = false;  // FIN came
  bool closing_ = false;      // close_when_written() was called
  bool lingering_ = false;    // FIN sent; reading away the rest
  bool read_again_ = false;   // octets wait inside TLS where no event tells of them
};

}  // namespace mail::net
