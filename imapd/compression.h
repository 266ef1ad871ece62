// COMPRESS=DEFLATE (RFC 4978): raw DEFLATE both ways.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mail::imapd {

class Compression {
 public:
  Compression();
  ~Compression();
  Compression(const Compression&) = delete;
  Compression& operator=(const Compression&) = delete;

  /// All of `octets`, so that the peer can read it now.
  std::string deflate(std::string_view octets);
  /// Takes compressed octets; inflate_some() gives what they hold.
  void receive(std::string_view octets) { input_ += octets; }
  /// At most some 64 KB, so that a few octets that stand for a million are read no faster than they are executed; empty
  /// where more input is needed.
  Result<std::string> inflate_some();

 private:
  struct Streams;
  std::unique_ptr<Streams> streams_;
  std::string input_;
};

}  // namespace mail::imapd
