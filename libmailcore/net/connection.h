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

namespace mail::net {

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
  bool reading_paused() const { return paused_ > 0; }

  /// Server side: what is queued goes out in clear, then the handshake starts. Octets already handed to on_octets() are
  /// the session's to drop (RFC 3207 section 4.2).
  void start_tls(std::shared_ptr<const TlsContext> context);
  /// Client side. A failed verification closes with tls_failed.
  void start_tls(std::shared_ptr<const TlsContext> context, const TlsPeer& peer);
  bool is_tls() const { return ssl_ != nullptr && tls_ready_; }
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
  struct Rare;  // what few connections need: TLS names, error text, rate watch
  enum class Io { done, again, ended, failed, gone };
  static void on_event(int fd, short what, void* self) noexcept;
  static void on_timer(int fd, short what, void* self) noexcept;
  void readable();
  void writable();
  void expired();
  Io read_some();
  Io write_some();
  long raw_read(char* to, std::size_t octets, CloseReason& reason, bool& again);
  void continue_handshake();
  void begin_handshake();
  void handshake_done();
  void update_events();
  void schedule_flush();
  void end_of_batch();
  void flush_and_notify();
  void finish(CloseReason reason);
  void arm_timer();
  void start_linger();
  Rare& rare();

  Loop& loop_;
  Handler* handler_ = nullptr;
  UniqueFd fd_;
  SocketAddress local_, peer_;
  std::unique_ptr<Events> events_;
  std::unique_ptr<Rare> rare_;
  std::shared_ptr<const TlsContext> tls_;
  ssl_st* ssl_ = nullptr;
  std::string output_;
  std::size_t written_ = 0;
  std::size_t low_water_ = 16 * 1024, high_water_ = 256 * 1024;
  SteadyTime deadline_{};
  Task on_time_;
  std::uint64_t octets_read_ = 0, octets_written_ = 0;
  std::shared_ptr<void> token_;
  std::shared_ptr<Connection*> self_;  // null once destroyed: deferred work and callbacks look here
  int paused_ = 0;
  bool tls_ready_ = false, tls_pending_ = false, tls_wants_write_ = false, tls_wants_read_ = false;
  bool in_callback_ = false, flush_scheduled_ = false, closing_ = false, lingering_ = false, blocked_ = false;
  bool was_above_ = false, want_drained_ = false, shut_ = false;
};

}  // namespace mail::net
