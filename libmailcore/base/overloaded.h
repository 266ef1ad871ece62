// For std::visit with one lambda per alternative; a new alternative does not compile until it is handled.
#pragma once
namespace mail {
template <class... Ts>
struct overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
overloaded(Ts...) -> overloaded<Ts...>;
}  // namespace mail
