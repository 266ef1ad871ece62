// Connecting out, without blocking. Names are the resolver's business: here are addresses only.
#pragma once
#include <chrono>
#include <memory>
#include <optional>

#include "net/connection.h"

namespace mail::net {

/// One attempt to connect; destroyed before its end, it is given up and the callback is not called.
class Connector {
 public:
  using Callback = UniqueFunction<void(Result<std::unique_ptr<Connection>>)>;
  /// Calls back on the loop, never from within the constructor. A failure is temporary: "connect 192.0.2.1:25:
  /// Connection refused".
  /// @param source  local address to connect from (its port counts when not 0)
  Connector(Loop& loop, const SocketAddress& to, std::chrono::milliseconds timeout, Callback callback,
            const std::optional<SocketAddress>& source = {});
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mail::net
