// The seam through which time enters: cores take times as arguments, programs ask a Clock, tests set one.
#pragma once
#include <chrono>

namespace mail {

using WallTime = std::chrono::sys_time<std::chrono::microseconds>;
using SteadyTime = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime now() const = 0;       ///< For dates that are written down. May jump.
  virtual SteadyTime steady() const = 0;  ///< For time limits. Never goes back.
  static Clock& system();
};

/// A clock that stands still until it is set: for tests.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(WallTime start) : now_(start) {}
  WallTime now() const override { return now_; }
  SteadyTime steady() const override { return steady_; }
  void advance(std::chrono::microseconds by) { now_ += by, steady_ += by; }
  void set(WallTime now) { now_ = now; }

 private:
  WallTime now_;
  SteadyTime steady_{};
};

}  // namespace mail
