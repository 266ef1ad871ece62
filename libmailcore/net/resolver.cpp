#include "net/resolver.h"

#include "base/strings.h"
#include "net/dns_message.h"

namespace mail::net {
namespace {

/// An answer that is known already: told by the loop, unless the question is gone by then.
class ReadyQuery final : public Resolver::Query {
 public:
  ReadyQuery(Loop& loop, DnsResult result, DnsCallback callback)
      : callback_(std::make_shared<DnsCallback>(std::move(callback))) {
    loop.defer([weak = std::weak_ptr(callback_), answer = std::move(result)]() mutable {
      if (const auto held = weak.lock()) (*held)(std::move(answer));
    });
  }

 private:
  std::shared_ptr<DnsCallback> callback_;
};

}  // namespace

bool nxdomain(const Error& error) { return error.kind == Error::Kind::not_found && error.text.ends_with("NXDOMAIN"); }

std::unique_ptr<Resolver::Query> FailingResolver::ask(DnsType, std::string_view, DnsCallback callback) {
  return std::make_unique<ReadyQuery>(loop_, tl::unexpected(error_), std::move(callback));
}

void TableResolver::add(DnsType type, std::string_view name, DnsAnswer answer) {
  if (answer.canonical_name.empty()) answer.canonical_name = to_lower(name);
  rows_.push_back({type, to_lower(name), std::move(answer)});
}

void TableResolver::add_error(DnsType type, std::string_view name, Error error) {
  rows_.push_back({type, to_lower(name), tl::unexpected(std::move(error))});
}

std::unique_ptr<Resolver::Query> TableResolver::ask(DnsType type, std::string_view name, DnsCallback callback) {
  const auto wanted = normal_name(name).value_or("");
  bool exists = false;
  for (const auto& row : rows_) {
    exists = exists || row.name == wanted;
    if (row.type == type && row.name == wanted)
      return std::make_unique<ReadyQuery>(loop_, row.result, std::move(callback));
  }
  Error error{Error::Kind::not_found,
              concat({to_string(type), " ", printable(name), exists ? ": no such record" : ": NXDOMAIN"}), 0};
  return std::make_unique<ReadyQuery>(loop_, tl::unexpected(std::move(error)), std::move(callback));
}

}  // namespace mail::net
