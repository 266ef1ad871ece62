// Who knows the MTA-STS policies of domains (RFC 8461): asks for them, and keeps them in spool/mta-sts as long as they
// say, so that nobody can hide one that was seen before (section 10.2).
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/disk.h"
#include "config/settings.h"
#include "mta/relay/client_tls.h"
#include "mta/relay/mta_sts.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/worker_pool.h"

namespace mail::relay {

/// A policy as it is kept: one file per domain, named by it.
struct KeptPolicy {
  StsPolicy policy;
  std::string id;  ///< Of the TXT record that it was fetched for.
  WallTime fetched{};
  bool valid_at(WallTime now) const { return now < fetched + policy.max_age; }

  std::string text() const;
  static std::optional<KeptPolicy> parse(std::string_view text);
};

/// The files. Blocking, each call by itself; thread-safe.
class StsCache {
 public:
  /// @param directory  made when the first policy comes
  explicit StsCache(std::string directory, Disk& disk = Disk::system())
      : directory_(std::move(directory)), disk_(disk) {}
  std::optional<KeptPolicy> load(const std::string& domain) const;
  Status store(const std::string& domain, const KeptPolicy& kept) const;
  /// Removes those that are no longer valid, and the oldest beyond some number.
  void sweep(WallTime now) const;

 private:
  std::string directory_;
  Disk& disk_;
};

class StsPolicies {
 public:
  struct Surroundings {
    net::Loop& loop;
    net::Resolver& resolver;
    net::WorkerPool& workers;
    const config::Relay& settings;
    ClientTls tls;          ///< For the policy hosts; empty: nothing is fetched.
    std::string directory;  ///< spool/mta-sts
    bool keep = true;       ///< False: what is fetched is not written down (`mta explain`).
    const Clock& clock = Clock::system();
  };
  explicit StsPolicies(Surroundings surroundings);
  ~StsPolicies();
  StsPolicies(const StsPolicies&) = delete;
  StsPolicies& operator=(const StsPolicies&) = delete;

  /// A question under way; destroyed, the callback is not called.
  class Question {
   public:
    virtual ~Question() = default;
  };
  /// The policy that holds for a domain now; nothing where it has none, or one of mode `none`.
  using Callback = UniqueFunction<void(std::optional<StsPolicy>)>;
  /// Calls back from the loop, never from within this call.
  [[nodiscard]] std::unique_ptr<Question> ask(const std::string& domain, Callback callback);

 private:
  struct Asked;
  struct Waiting;
  struct Failure {
    std::string id;
    WallTime time{};
  };
  void decide(const std::shared_ptr<Asked>& asked);
  void fetch(const std::shared_ptr<Asked>& asked, std::string id);
  void fetched(const std::shared_ptr<Asked>& asked, const std::string& id, Result<std::string> text);
  static void answer(Asked& asked);
  bool may_fetch(const std::string& domain, const std::string& id);
  void sweep_now_and_then();

  Surroundings s_;
  StsCache cache_;
  std::map<std::string, std::shared_ptr<Asked>, std::less<>> asked_;
  std::map<std::string, Failure, std::less<>> failures_;
  WallTime swept_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mail::relay
