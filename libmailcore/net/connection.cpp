#include "net/connection.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "base/strings.h"
#include "net/tls_stream.h"

namespace mail::net {
namespace {

/// After our FIN: how long the peer's rest is read away. A close with unread octets would send a reset, which can
/// destroy our last reply before the peer has read it.
constexpr std::chrono::seconds kLinger{2};
constexpr std::size_t kKeptCapacity = 256;       // a larger output buffer is given back when it is empty
constexpr std::size_t kTlsRecordOctets = 16384;  // RFC 8446 section 5.1

}  // namespace

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::peer_closed:
      return "peer-closed";
    case CloseReason::truncated:
      return "truncated";
    case CloseReason::error:
      return "error";
    case CloseReason::tls_failed:
      return "tls-failed";
    case CloseReason::timeout:
      return "timeout";
    case CloseReason::closed_here:
      return "closed";
    case CloseReason::no_memory:
      return "no-memory";
  }
  return "?";
}

struct Connection::Events {
  event read{};
  event write{};
  event timer{};
  bool reading = false;
  bool writing = false;
  SteadyTime timer_at = SteadyTime::max();  // max: not armed
};

struct Connection::Rare {
  std::shared_ptr<const TlsContext> tls_context;  // until the handshake begins
  TlsPeer tls_peer;
  std::string error_text;
  std::uint64_t least_rate = 0;
  std::chrono::milliseconds rate_window{0};
  std::uint64_t rate_octets = 0;
  SteadyTime rate_deadline = SteadyTime::max();
};

Connection::Connection(Loop& loop, UniqueFd fd, SocketAddress local, SocketAddress peer)
    : loop_(loop),
      fd_(std::move(fd)),
      local_(std::move(local)),
      peer_(std::move(peer)),
      events_(std::make_unique<Events>()),
      self_(std::make_shared<Connection*>(this)) {
  if (!local_.is_unix()) {
    const int on = 1;
    setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  event_assign(&events_->read, loop_.base(), fd_.get(), EV_READ | EV_PERSIST, on_read_event, this);
  event_assign(&events_->write, loop_.base(), fd_.get(), EV_WRITE | EV_PERSIST, on_write_event, this);
  event_assign(&events_->timer, loop_.base(), -1, EV_TIMEOUT, on_timer_event, this);
  update_events();
}

Connection::~Connection() {
  *self_ = nullptr;
  release();
}

void Connection::release() {
  if (events_) {
    event_del(&events_->read);
    event_del(&events_->write);
    event_del(&events_->timer);
  }
  tls_.reset();
  fd_.reset();
  std::string().swap(output_);
  written_ = 0;
}

Connection::Rare& Connection::rare() {
  if (!rare_) rare_ = std::make_unique<Rare>();
  return *rare_;
}

void Connection::set_handler(Handler* handler) { handler_ = handler; }

void Connection::set_addresses(SocketAddress local, SocketAddress peer) {
  local_ = std::move(local);
  peer_ = std::move(peer);
}

const std::string& Connection::error_text() const {
  static const std::string kNone;
  return rare_ ? rare_->error_text : kNone;
}

// ---- what the loop calls

/// One callback: the handler may destroy this object, memory may run out, and what was written goes out at the end.
template <class Step>
void Connection::guarded(Step step) noexcept {
  const auto self = self_;
  try {
    in_callback_ = true;
    step();
    if (*self == nullptr) return;
    in_callback_ = false;
    if (fd_) flush_and_notify();
  } catch (const std::bad_alloc&) {
    if (*self == nullptr) return;
    in_callback_ = false;
    finish(CloseReason::no_memory);
  }
}

void Connection::on_read_event(int, short, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  connection.guarded([&] { connection.readable(); });
}

void Connection::on_write_event(int, short, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  connection.guarded([&] {
    connection.blocked_ = false;
    if (connection.lingering_) return;
    if (connection.tls_ && !connection.tls_ready_)
      connection.continue_handshake();
    else if (connection.tls_)
      connection.readable();  // OpenSSL may have had to write before it could read
  });
}

void Connection::on_timer_event(int, short, void* self) noexcept {
  auto& connection = *static_cast<Connection*>(self);
  connection.events_->timer_at = SteadyTime::max();
  connection.guarded([&] { connection.expired(); });
}

// ---- reading

void Connection::readable() {
  if (lingering_) return read_away();
  if (tls_ && !tls_ready_) return continue_handshake();
  if (closing_) return read_away();
  if (paused_ > 0 || held_back_ || input_ended_) return;
  char* const buffer = loop_.read_buffer();
  std::size_t octets = 0;
  auto outcome = TlsStream::Outcome::done;
  if (!tls_) {
    const auto got = recv(fd_.get(), buffer, Loop::kReadBufferOctets, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got < 0) {
      rare().error_text = std::strerror(errno);
      return finish(CloseReason::error);
    }
    octets = static_cast<std::size_t>(got);
    if (octets == 0) outcome = TlsStream::Outcome::ended;
  } else {
    while (octets < Loop::kReadBufferOctets && outcome == TlsStream::Outcome::done) {
      const auto transfer = tls_->read(buffer + octets, Loop::kReadBufferOctets - octets);
      outcome = transfer.outcome;
      octets += transfer.octets;
    }
    if (outcome == TlsStream::Outcome::wants_write) blocked_ = true;
    read_again_ = tls_->holds_octets();
  }
  octets_read_ += octets;
  const auto self = self_;
  if (octets > 0 && handler_ != nullptr) handler_->on_octets({buffer, octets});
  if (*self == nullptr || !fd_) return;
  if (outcome == TlsStream::Outcome::ended) return end_of_input();
  if (outcome == TlsStream::Outcome::truncated) return finish(CloseReason::truncated);
  if (outcome == TlsStream::Outcome::lost || outcome == TlsStream::Outcome::failed) {
    rare().error_text = tls_->error_text();
    return finish(outcome == TlsStream::Outcome::lost ? CloseReason::error : CloseReason::tls_failed);
  }
  if (read_again_) schedule_end_of_batch();
}

void Connection::end_of_input() {
  input_ended_ = true;
  read_again_ = false;
  const auto self = self_;
  const bool stays = !closing_ && handler_ != nullptr && handler_->on_end_of_input();
  if (*self == nullptr || !fd_) return;
  if (!stays && !closing_) {
    const bool lost = !write_some();
    if (lost || pending_output() == 0) return finish(CloseReason::peer_closed);
    closing_ = true;  // the rest goes out as the peer takes it
  }
  update_events();
}

void Connection::read_away() {
  char* const buffer = loop_.read_buffer();
  const auto got = recv(fd_.get(), buffer, Loop::kReadBufferOctets, 0);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
  input_ended_ = true;
  if (lingering_) return finish(CloseReason::closed_here);
  if (got < 0) return finish(CloseReason::error);
  update_events();
}

void Connection::pause_reading() {
  ++paused_;
  update_events();
}

void Connection::resume_reading() {
  if (paused_ > 0) --paused_;
  if (paused_ == 0 && read_again_) schedule_end_of_batch();
  update_events();
}

// ---- writing

void Connection::write(std::string_view octets) {
  if (!fd_ || closing_ || octets.empty()) return;
  output_.append(octets);
  if (pending_output() > high_water_) held_back_ = want_drained_ = true;
  schedule_end_of_batch();
}

void Connection::write(std::string&& octets) {
  if (!fd_ || closing_ || octets.empty()) return;
  if (!output_.empty()) return write(std::string_view(octets));
  output_ = std::move(octets);
  if (pending_output() > high_water_) held_back_ = want_drained_ = true;
  schedule_end_of_batch();
}

void Connection::set_water_marks(std::size_t low, std::size_t high) {
  low_water_ = low;
  high_water_ = high;
}

void Connection::want_drained() {
  want_drained_ = true;
  schedule_end_of_batch();
}

void Connection::flush() {
  if (fd_ && !write_some()) {
    failed_ = true;
    schedule_end_of_batch();
  }
}

/// Writes what the socket takes. False: the connection is lost, and finish() is the caller's to call.
bool Connection::write_some() {
  if (tls_ && !tls_ready_) return true;
  while (pending_output() > 0 && !blocked_) {
    const char* const from = output_.data() + written_;
    std::size_t octets = 0;
    if (!tls_) {
      const auto sent = send(fd_.get(), from, pending_output(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno != EAGAIN) {
        rare().error_text = std::strerror(errno);
        return false;
      }
      octets = sent < 0 ? 0 : static_cast<std::size_t>(sent);
      blocked_ = octets < pending_output();
    } else {
      const auto transfer = tls_->write(from, std::min(pending_output(), kTlsRecordOctets));
      octets = transfer.octets;
      if (transfer.outcome == TlsStream::Outcome::wants_write) blocked_ = true;
      if (transfer.outcome == TlsStream::Outcome::wants_read) break;
      if (transfer.outcome != TlsStream::Outcome::done && transfer.outcome != TlsStream::Outcome::wants_write) {
        rare().error_text = tls_->error_text();
        return false;
      }
    }
    written_ += octets;
    octets_written_ += octets;
  }
  if (pending_output() == 0) {
    written_ = 0;
    if (output_.capacity() > kKeptCapacity)
      std::string().swap(output_);
    else
      output_.clear();
  } else if (written_ > 65536 && written_ > output_.size() / 2) {
    output_.erase(0, written_);
    written_ = 0;
  }
  return true;
}

void Connection::flush_and_notify() {
  if (failed_ || !write_some()) return finish(CloseReason::error);
  if (pending_output() == 0 && (tls_pending_ || closing_)) {
    const auto self = self_;
    written_all();  // a handshake that fails at once lets the handler destroy this object
    if (*self == nullptr || !fd_) return;
  }
  if (want_drained_ && !closing_ && pending_output() <= low_water_ && (!tls_ || tls_ready_)) schedule_end_of_batch();
  update_events();
}

void Connection::notify_drained() {
  held_back_ = want_drained_ = false;
  if (handler_ != nullptr) handler_->on_drained();
}

void Connection::schedule_end_of_batch() {
  if (scheduled_ || (in_callback_ && !want_drained_ && !read_again_ && !failed_)) return;
  scheduled_ = true;
  loop_.defer([self = self_] {
    if (*self != nullptr) (*self)->end_of_batch();
  });
}

void Connection::end_of_batch() {
  scheduled_ = false;
  if (!fd_) return;
  guarded([&] {
    if (failed_) return finish(CloseReason::error);
    if (!write_some()) return finish(CloseReason::error);
    const auto self = self_;
    if (want_drained_ && !closing_ && pending_output() <= low_water_ && (!tls_ || tls_ready_)) notify_drained();
    if (*self == nullptr || !fd_) return;
    if (read_again_ && paused_ == 0 && !held_back_) readable();
  });
}

// ---- TLS

void Connection::start_tls(std::shared_ptr<const TlsContext> context) {
  rare().tls_context = std::move(context);
  tls_pending_ = true;
  schedule_end_of_batch();
}

void Connection::start_tls(std::shared_ptr<const TlsContext> context, const TlsPeer& peer) {
  rare().tls_peer = peer;
  start_tls(std::move(context));
}

void Connection::begin_handshake() {
  tls_pending_ = false;
  auto context = std::move(rare().tls_context);
  auto stream = context->is_server() ? TlsStream::server(std::move(context), fd_.get())
                                     : TlsStream::client(std::move(context), fd_.get(), rare().tls_peer);
  rare().tls_peer = {};
  if (!stream) {
    rare().error_text = std::move(stream.error().text);
    return finish(CloseReason::tls_failed);
  }
  tls_ = std::move(*stream);
  continue_handshake();
}

void Connection::continue_handshake() {
  const auto outcome = tls_->handshake();
  switch (outcome) {
    case TlsStream::Outcome::wants_read:
      break;
    case TlsStream::Outcome::wants_write:
      blocked_ = true;
      break;
    case TlsStream::Outcome::done:
      tls_ready_ = true;
      read_again_ = true;  // the first octets may have come in the same segment
      if (closing_) break;
      if (handler_ != nullptr) {
        const auto self = self_;
        handler_->on_tls_started();
        if (*self == nullptr || !fd_) return;
      }
      schedule_end_of_batch();
      break;
    default:
      rare().error_text = tls_->error_text();
      return finish(outcome == TlsStream::Outcome::failed ? CloseReason::tls_failed : CloseReason::error);
  }
  update_events();
}

std::optional<TlsInfo> Connection::tls_info() const {
  if (!tls_ready_ || !tls_) return std::nullopt;
  return tls_->info();
}

std::string Connection::tls_exporter() const { return tls_ready_ && tls_ ? tls_->exporter() : std::string(); }
std::string Connection::tls_server_end_point() const {
  return tls_ready_ && tls_ ? tls_->server_end_point() : std::string();
}

// ---- time

void Connection::set_timeout(std::chrono::milliseconds after, Task on_time) {
  deadline_ = loop_.now() + after;
  on_time_ = std::move(on_time);
  arm_timer();
}

void Connection::clear_timeout() {
  deadline_ = {};
  on_time_ = nullptr;
}

void Connection::set_least_rate(std::uint64_t octets_per_second, std::chrono::milliseconds window) {
  auto& watch = rare();
  watch.least_rate = octets_per_second;
  watch.rate_window = window;
  watch.rate_octets = octets_read_;
  watch.rate_deadline = octets_per_second == 0 ? SteadyTime::max() : loop_.now() + window;
  arm_timer();
}

/// A limit that moves later is not taken to libevent: the timer fires at the old time, finds that it is early and
/// starts again.
void Connection::arm_timer() {
  if (!fd_) return;
  auto next = deadline_ == SteadyTime{} ? SteadyTime::max() : deadline_;
  if (rare_) next = std::min(next, rare_->rate_deadline);
  if (next >= events_->timer_at) return;
  events_->timer_at = next;
  const auto wait =
      std::max(std::chrono::duration_cast<std::chrono::microseconds>(next - loop_.now()), std::chrono::microseconds(0));
  const timeval after{wait.count() / 1'000'000, wait.count() % 1'000'000};
  event_add(&events_->timer, &after);
}

bool Connection::too_slow() {
  if (!rare_ || rare_->rate_deadline > loop_.now()) return false;
  const auto least = rare_->least_rate * static_cast<std::uint64_t>(rare_->rate_window.count()) / 1000;
  if (octets_read_ - rare_->rate_octets < least) return true;
  rare_->rate_octets = octets_read_;
  rare_->rate_deadline = loop_.now() + rare_->rate_window;
  return false;
}

void Connection::expired() {
  const bool slow = too_slow();
  if (!slow && (deadline_ == SteadyTime{} || deadline_ > loop_.now())) return arm_timer();
  deadline_ = {};
  if (rare_) rare_->rate_deadline = SteadyTime::max();
  if (lingering_) return finish(CloseReason::closed_here);
  if (on_time_ && !closing_) {
    Task task = std::move(on_time_);  // it may set the next limit, or destroy this object
    on_time_ = nullptr;
    return task();
  }
  finish(CloseReason::timeout);
}

// ---- the end

void Connection::close_when_written() {
  if (!fd_ || closing_) return;
  closing_ = true;
  want_drained_ = held_back_ = false;
  tls_pending_ = false;
  if (scheduled_ || in_callback_) return;
  scheduled_ = true;
  loop_.defer([self = self_] {
    if (*self != nullptr) (*self)->end_of_batch();
  });
}

void Connection::written_all() {
  if (!closing_) return begin_handshake();
  if (!lingering_) shut_down_sending();
}

void Connection::shut_down_sending() {
  if (tls_ && tls_ready_) tls_->close_notify();
  if (input_ended_) return finish(CloseReason::closed_here);
  shutdown(fd_.get(), SHUT_WR);
  lingering_ = true;
  on_time_ = nullptr;
  if (rare_) rare_->rate_deadline = SteadyTime::max();
  deadline_ = loop_.now() + kLinger;
  arm_timer();
}

void Connection::abort() {
  if (!fd_) return;
  const linger reset{1, 0};
  setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  release();
}

void Connection::finish(CloseReason reason) {
  if (!fd_) return;
  release();
  if (handler_ != nullptr) handler_->on_closed(reason);
}

void Connection::update_events() {
  if (!fd_) return;
  const bool handshaking = tls_ && !tls_ready_;
  const bool reading =
      handshaking || lingering_ || (!input_ended_ && !tls_pending_ && (closing_ || (paused_ == 0 && !held_back_)));
  if (reading != events_->reading) {
    events_->reading = reading;
    reading ? event_add(&events_->read, nullptr) : event_del(&events_->read);
  }
  if (blocked_ != events_->writing) {
    events_->writing = blocked_;
    blocked_ ? event_add(&events_->write, nullptr) : event_del(&events_->write);
  }
}

}  // namespace mail::net
