// Sockets to accept from, however they came to be: bound here, or given by systemd or inetd. Internal to net/.
#pragma once
#include <vector>

#include "net/server.h"

namespace mail::net {

struct ListeningSocket {
  UniqueFd fd;
  Listen listen;
  SocketAddress address;
  bool unlink_at_end = false;
};

/// Binds one endpoint; "*" gives IPv6 and IPv4 sockets with the same port.
Result<std::vector<ListeningSocket>> bind_endpoint(const Listen& listen);
/// The sockets of LISTEN_FDS, each given to its listener. Takes the variables away, so that no child believes in them.
Result<std::vector<ListeningSocket>> systemd_sockets(const std::vector<Listen>& listeners);
/// Descriptor 0 as a socket; where it is a terminal, file or pipe, one end of a socket pair whose other end two threads
/// carry to descriptors 0 and 1. `finish` waits until all output is written there.
struct InheritedStream {
  UniqueFd fd;
  UniqueFunction<void()> finish;
};
Result<InheritedStream> inherited_stream();

}  // namespace mail::net
