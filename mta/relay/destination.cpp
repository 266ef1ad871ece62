#include "mta/relay/destination.h"

#include <algorithm>
#include <random>

#include "base/strings.h"

namespace mail::relay {

double Allowance::most() const {
  return std::max(1.0, static_cast<double>(rate_.count) * 1000 / static_cast<double>(rate_.time.count()));
}

std::size_t Allowance::left(SteadyTime now) {
  if (counted_ != SteadyTime{}) {
    const std::chrono::duration<double, std::milli> passed = now - counted_;
    left_ += passed.count() * static_cast<double>(rate_.count) / static_cast<double>(rate_.time.count());
  }
  counted_ = now;
  left_ = std::min(left_, most());
  return static_cast<std::size_t>(left_);
}

Seconds retry_after(std::chrono::seconds first, std::chrono::seconds most, unsigned attempts) {
  static thread_local std::minstd_rand random{std::random_device{}()};
  auto wait = std::max<double>(1, static_cast<double>(first.count()));
  const auto limit = std::max(wait, static_cast<double>(most.count()));
  for (unsigned i = 1; i < attempts && wait < limit; ++i) wait *= 2;
  wait = std::min(wait, limit);
  return static_cast<Seconds>(wait * std::uniform_real_distribution<double>(0.9, 1.1)(random) + 0.5);
}

Destination::Destination(const NextHop& hop, const std::optional<config::Rate>& rate) : key(hop.key) {
  const bool plain = !hop.transport && hop.beside.empty();
  if (plain && !rate) return;
  particulars = std::make_unique<Particulars>();
  if (!plain) particulars->hop = hop;
  if (rate) particulars->allowance.emplace(*rate);
}

Destination::Awake& Destination::wake_up(const config::Relay& settings) {
  if (!awake)
    awake = std::make_unique<Awake>(particulars && particulars->hop
                                        ? *particulars->hop
                                        : next_hop(settings, {.domain = key, .transport = nullptr}));
  return *awake;
}

void Destination::sleep_if_idle() {
  if (awake && awake->connections.empty() && !awake->lookup && !waits) awake.reset();
}

std::size_t Destination::allowance(SteadyTime now) {
  if (!particulars || !particulars->allowance) return SIZE_MAX / 2;  // something may be added to it
  return particulars->allowance->left(now);
}

namespace {
constexpr std::size_t kMostTexts = 5000;
constexpr std::string_view kGap("\x01", 1);
constexpr std::size_t kShortest = 4;  // a name that is worth a gap
}  // namespace

Words::Kept Words::shared(std::string text) {
  if (const auto found = texts_.find(text); found != texts_.end()) {
    if (auto kept = found->second.lock()) return kept;
    texts_.erase(found);
  }
  auto kept = std::make_shared<const std::string>(text);
  texts_.emplace(std::move(text), kept);
  return kept;
}

Words::Kept Words::keep(const smtp::Reply& reply, const std::string& destination) {
  auto text = reply.line();
  if (destination.size() >= kShortest) text = replace_all(text, destination, kGap);
  if (texts_.size() >= kMostTexts && !texts_.contains(text)) {
    // Where all are in use still, it is not worth the search to ask again soon.
    if (refused_ == 0 || ++refused_ > kMostTexts) {
      std::erase_if(texts_, [](const auto& entry) { return entry.second.expired(); });
      refused_ = texts_.size() >= kMostTexts ? 1 : 0;
    }
    if (texts_.size() >= kMostTexts) text = concat({decimal(reply.code), " ", reply.status(), " (the log has more)"});
  }
  return shared(std::move(text));
}

std::string Words::text(const Kept& kept, const std::string& destination) {
  return kept ? replace_all(*kept, kGap, destination) : std::string();
}

void TimeTable::put(std::size_t at, Destination* destination) {
  heap_[at] = destination;
  destination->place = static_cast<std::uint32_t>(at);
}

void TimeTable::rise(std::size_t at) {
  auto* const moving = heap_[at];
  for (; at > 0 && heap_[(at - 1) / 2]->wake > moving->wake; at = (at - 1) / 2) put(at, heap_[(at - 1) / 2]);
  put(at, moving);
}

void TimeTable::sink(std::size_t at) {
  auto* const moving = heap_[at];
  for (auto below = 2 * at + 1; below < heap_.size(); at = below, below = 2 * at + 1) {
    if (below + 1 < heap_.size() && heap_[below + 1]->wake < heap_[below]->wake) ++below;
    if (heap_[below]->wake >= moving->wake) break;
    put(at, heap_[below]);
  }
  put(at, moving);
}

void TimeTable::set(Destination& d, Seconds wake) {
  if (wake == d.wake) return;
  const bool in = d.wake != 0;
  if (wake == 0) {
    auto* const last = heap_.back();
    heap_.pop_back();
    d.wake = 0;
    if (last == &d) return;
    put(d.place, last);
    rise(last->place);
    return sink(last->place);
  }
  d.wake = wake;
  if (!in) {
    heap_.push_back(&d);
    d.place = static_cast<std::uint32_t>(heap_.size() - 1);
  }
  rise(d.place);
  sink(d.place);
}

Destination* TimeTable::due(Seconds now) {
  if (heap_.empty() || heap_.front()->wake > now) return nullptr;
  auto* const first = heap_.front();
  set(*first, 0);
  return first;
}

}  // namespace mail::relay
