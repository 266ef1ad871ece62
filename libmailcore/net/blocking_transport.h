// A client's stream in the calling thread, with time limits: for mua and tools, which have one conversation and nothing
// else to do.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/address.h"
#include "net/tls_context.h"

namespace mail::net {

class BlockingTransport {
 public:
  /// Connects to the first address of `host` that answers (name, address text, or "unix:/path"). not_found: no such
  /// host; temporary: all else.
  static Result<BlockingTransport> connect(const std::string& host, std::uint16_t port,
                                           std::chrono::milliseconds timeout);
  /// Over descriptors that are already open (imapd --preauth over ssh): both are closed at the end.
  static BlockingTransport over(int read_fd, int write_fd);
  BlockingTransport(BlockingTransport&&) noexcept;
  BlockingTransport& operator=(BlockingTransport&&) noexcept;
  ~BlockingTransport();

  /// From here on TLS. refused: the certificate did not verify, Error::text says why.
  [[nodiscard]] Status start_tls(std::shared_ptr<const TlsContext> context, const TlsPeer& peer);
  /// Whatever has come, at least one octet; empty at the orderly end. temporary: time limit, reset, TLS stream cut
  /// short.
  [[nodiscard]] Result<std::string> read_some();
  [[nodiscard]] Status write_all(std::string_view octets);
  void set_timeout(std::chrono::milliseconds each_read_or_write);
  std::optional<TlsInfo> tls_info() const;
  std::string tls_exporter() const;
  std::string tls_server_end_point() const;
  SocketAddress peer() const;
  SocketAddress local() const;
  int fd() const;
  void close();

 private:
  struct Impl;
  explicit BlockingTransport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mail::net
