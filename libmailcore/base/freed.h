// A std::unique_ptr deleter made of a C library's release function: std::unique_ptr<SSL, Freed<SSL_free>>.
#pragma once
namespace mail {
template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
}  // namespace mail
