// Fetches one small file by HTTPS, on a loop: RFC 8461 section 3.3. Ours, and not libcurl's: names are asked of the
// servers of [dns], the certificate is judged as those of mail hosts are, no redirect can be followed, no thread waits
// for a slow host, and `mta serve` carries none of it.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "mta/relay/http_answer.h"
#include "net/connection.h"
#include "net/connector.h"
#include "net/resolver.h"

namespace mail::relay {

class HttpsGet final : private net::Connection::Handler {
 public:
  struct Request {
    std::string host;  ///< Asked for in the DNS, in SNI, in the certificate (a dNSName), and behind Host.
    std::string path;
    std::uint16_t port = 443;
    std::string media_type;             ///< What the answer must be.
    std::size_t most_octets = 65536;    ///< Longest body.
    std::chrono::milliseconds time{0};  ///< For all of it.
    bool ipv6 = true, private_addresses = false;
  };
  /// The body of an answer 200. An Error says what failed, with the host.
  using Callback = UniqueFunction<void(Result<std::string>)>;

  /// Calls back from the loop, never from within the constructor; the callback may destroy this object.
  HttpsGet(net::Loop& loop, net::Resolver& resolver, std::shared_ptr<const net::TlsContext> tls, Request request,
           Callback callback);
  ~HttpsGet() override;
  HttpsGet(const HttpsGet&) = delete;
  HttpsGet& operator=(const HttpsGet&) = delete;

 private:
  void on_octets(std::string_view octets) override;
  void on_tls_started() override;
  void on_closed(net::CloseReason reason) override;

  void ask(net::DnsType type);
  void on_addresses(net::DnsResult result);
  void connect_next();
  void answered();
  void finish(Result<std::string> result);
  void fail_with(std::string_view why);

  net::Loop& loop_;
  net::Resolver& resolver_;
  std::shared_ptr<const net::TlsContext> tls_;
  Request request_;
  Callback callback_;
  HttpAnswer answer_;
  net::Timer timer_;
  std::vector<std::unique_ptr<net::Resolver::Query>> queries_;
  std::size_t open_questions_ = 0;
  std::vector<IpAddress> addresses_;  // to be tried, the last one first
  std::string last_error_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::Connection> connection_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mail::relay
