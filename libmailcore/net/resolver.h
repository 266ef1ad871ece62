// DNS on a loop. An interface, so that relay, policy and trust are tested with answers made up; CaresResolver asks real
// servers.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "config/settings.h"
#include "net/loop.h"
#include "net/tls_context.h"

namespace mail::net {

enum class DnsType : std::uint16_t { a = 1, cname = 5, ptr = 12, mx = 15, txt = 16, aaaa = 28, tlsa = 52 };

struct MxRecord {
  std::uint16_t preference = 0;
  std::string exchange;  ///< Lower case, without the final dot; empty: null MX (RFC 7505).
  friend bool operator==(const MxRecord&, const MxRecord&) = default;
};

/// The records of one type at the end of the CNAME chain; which vector is filled follows from the type asked for.
struct DnsAnswer {
  std::vector<IpAddress> addresses;  ///< A, AAAA
  std::vector<MxRecord> mx;          ///< Sorted by preference.
  std::vector<std::string> texts;    ///< TXT, the strings of one record joined (RFC 7208 section 3.3); PTR and CNAME
                                     ///< names, lower case, no final dot.
  std::vector<TlsaRecord> tlsa;
  std::string canonical_name;   ///< Where the CNAMEs ended; the name asked for where there was none.
  bool authentic = false;       ///< AD bit of a server that is trusted: it has validated the answer (DNSSEC).
  std::chrono::seconds ttl{0};  ///< The least of the records'.
};

/// not_found: NXDOMAIN, or no record of the type (Error::text says which, and nxdomain() tells them apart). temporary:
/// SERVFAIL, timeout, refused, no server. permanent: not a name, CNAME loop or chain too long.
using DnsResult = Result<DnsAnswer>;
using DnsCallback = UniqueFunction<void(DnsResult)>;
/// True for the not_found that says that the name does not exist at all.
bool nxdomain(const Error& error);

class Resolver {
 public:
  /// A running question: destroyed, the callback is not called.
  class Query {
   public:
    virtual ~Query() = default;
  };
  virtual ~Resolver() = default;
  /// Asks; the callback comes from the loop, never from within this call.
  [[nodiscard]] virtual std::unique_ptr<Query> ask(DnsType type, std::string_view name, DnsCallback callback) = 0;
};

/// By c-ares, for one loop.
class CaresResolver final : public Resolver {
 public:
  static Result<std::unique_ptr<CaresResolver>> open(Loop& loop, const config::Dns& settings);
  ~CaresResolver() override;
  [[nodiscard]] std::unique_ptr<Query> ask(DnsType type, std::string_view name, DnsCallback callback) override;

 private:
  struct Impl;
  explicit CaresResolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Every question fails with one error: where the resolver could not be opened.
class FailingResolver final : public Resolver {
 public:
  FailingResolver(Loop& loop, Error error) : loop_(loop), error_(std::move(error)) {}
  [[nodiscard]] std::unique_ptr<Query> ask(DnsType type, std::string_view name, DnsCallback callback) override;

 private:
  Loop& loop_;
  Error error_;
};

/// Answers from a table, for tests: what is not in it is NXDOMAIN.
class TableResolver final : public Resolver {
 public:
  explicit TableResolver(Loop& loop) : loop_(loop) {}
  void add(DnsType type, std::string_view name, DnsAnswer answer);
  void add_error(DnsType type, std::string_view name, Error error);
  [[nodiscard]] std::unique_ptr<Query> ask(DnsType type, std::string_view name, DnsCallback callback) override;

 private:
  struct Row {
    DnsType type;
    std::string name;
    DnsResult result;
  };
  Loop& loop_;
  std::vector<Row> rows_;
};

}  // namespace mail::net
