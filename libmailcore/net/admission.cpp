#include "net/admission.h"

#include <algorithm>

namespace mail::net {

std::shared_ptr<void> Admission::enter() {
  {
    const std::lock_guard lock(mutex_);
    if (count_ >= limits_.connections) return nullptr;
    ++count_;
  }
  return {this, [self = shared_from_this()](void*) { self->leave(); }};
}

std::shared_ptr<void> Admission::enter(const SocketAddress& peer) {
  const auto prefix = limited_prefix(peer);
  if (!prefix) return {this, [](void*) {}};
  {
    const std::lock_guard lock(mutex_);
    auto& count = per_prefix_[*prefix];
    if (count >= limits_.connections_per_address) return nullptr;
    ++count;
  }
  return {this, [self = shared_from_this(), prefix = *prefix](void*) { self->leave(prefix); }};
}

std::optional<IpAddress> Admission::limited_prefix(const SocketAddress& peer) const {
  if (limits_.connections_per_address == 0 || peer.is_unix() || peer.ip.is_loopback()) return std::nullopt;
  if (std::ranges::any_of(limits_.unlimited, [&](const IpPrefix& network) { return network.contains(peer.ip); }))
    return std::nullopt;
  return peer.ip.is_v4() ? peer.ip : peer.ip.masked(64);
}

void Admission::leave() {
  {
    const std::lock_guard lock(mutex_);
    --count_;
  }
  if (on_free_) on_free_();
}

void Admission::leave(const IpAddress& prefix) {
  {
    const std::lock_guard lock(mutex_);
    const auto at = per_prefix_.find(prefix);
    if (at != per_prefix_.end() && --at->second == 0) per_prefix_.erase(at);
  }
  if (on_free_) on_free_();
}

bool Admission::full() const {
  const std::lock_guard lock(mutex_);
  return count_ >= limits_.connections;
}

std::size_t Admission::count() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace mail::net
