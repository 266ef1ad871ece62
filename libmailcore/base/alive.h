// Callbacks that come back later must not find a dead owner. An object that hands out callbacks holds an Alive; guarded
// callbacks do nothing once it is gone. Owner and callback are on one thread (a loop): a callback from elsewhere is
// posted there first.
#pragma once
#include <memory>
#include <utility>

namespace mail {

class Alive {
 public:
  Alive() = default;
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  /// A callable that calls `function` while this object lives, and else nothing. `function` returns void.
  template <class F>
  auto guard(F function) const {
    return [token = std::weak_ptr<char>(token_), f = std::move(function)](auto&&... arguments) mutable {
      if (const auto held = token.lock()) f(std::forward<decltype(arguments)>(arguments)...);
    };
  }
  /// Cuts off all callbacks handed out so far.
  void renew() { token_ = std::make_shared<char>(); }

 private:
  std::shared_ptr<char> token_ = std::make_shared<char>();
};

}  // namespace mail
