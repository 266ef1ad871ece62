// std::move_only_function of C++23, as much as is needed: a callable that may own what cannot be copied.
#pragma once
#include <cassert>
#include <memory>
#include <type_traits>
#include <utility>

namespace mail {

template <class Signature>
class UniqueFunction;

template <class Return, class... Arguments>
class UniqueFunction<Return(Arguments...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
           std::is_invocable_r_v<Return, std::remove_cvref_t<F>&, Arguments...>) UniqueFunction(F&& callable)
      : callable_(std::make_unique<Holder<std::remove_cvref_t<F>>>(std::forward<F>(callable))) {}

  Return operator()(Arguments... arguments) {
    assert(callable_);
    return callable_->call(std::forward<Arguments>(arguments)...);
  }
  explicit operator bool() const { return callable_ != nullptr; }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual Return call(Arguments... arguments) = 0;
  };
  template <class F>
  struct Holder final : Base {
    explicit Holder(F&& f) : function(std::move(f)) {}
    explicit Holder(const F& f) : function(f) {}
    Return call(Arguments... arguments) override { return function(std::forward<Arguments>(arguments)...); }
    F function;
  };
  std::unique_ptr<Base> callable_;
};

}  // namespace mail
