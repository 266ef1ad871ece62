#include "mta/relay/sts_policies.h"

#include "base/log.h"
#include "base/strings.h"
#include "mta/relay/https_get.h"
#include "smtp/path.h"

namespace mail::relay {

namespace {

using namespace std::chrono_literals;
constexpr auto kFetchTime = 30s;  // mail waits for it
constexpr auto kRetry = 5min;     // after a fetch that failed (RFC 8461 section 3.3)
constexpr auto kRefresh = 24h;    // a kept policy is fetched anew after so long, whatever the record says
constexpr auto kSweepEvery = 24h;
constexpr std::size_t kMostFailures = 10000;  // remembered

/// A name that can be one of the DNS, and of a file.
bool is_policy_domain(const std::string& domain) {
  return smtp::is_domain(domain) && !smtp::is_address_literal(domain) && is_ascii(domain) &&
         domain.find('/') == std::string::npos && !domain.starts_with('.') && domain.size() <= 240;
}

}  // namespace

struct StsPolicies::Waiting {
  Callback callback;
};

struct StsPolicies::Asked {
  std::string domain;
  std::vector<std::weak_ptr<Waiting>> waiting;
  std::unique_ptr<net::Resolver::Query> query;
  std::unique_ptr<HttpsGet> get;
  std::optional<KeptPolicy> kept;
  std::optional<std::string> id;  // of the record
  int due = 2;                    // the file and the record
  bool refreshed = false;         // `kept` holds while another one is fetched
};

StsPolicies::StsPolicies(Surroundings surroundings) : s_(std::move(surroundings)), cache_(s_.directory) {}

StsPolicies::~StsPolicies() { *alive_ = false; }

std::unique_ptr<StsPolicies::Question> StsPolicies::ask(const std::string& domain, Callback callback) {
  struct Held final : Question {
    explicit Held(std::shared_ptr<Waiting> w) : waiting(std::move(w)) {}
    std::shared_ptr<Waiting> waiting;
  };
  auto waiting = std::make_shared<Waiting>(Waiting{std::move(callback)});
  auto question = std::make_unique<Held>(waiting);
  const auto name = to_lower(domain);
  auto& asked = asked_[name];
  if (asked && asked->due > 0) {
    asked->waiting.push_back(waiting);
    return question;
  }
  if (asked) {  // being fetched, for somebody else, or anew while the old one holds
    asked->waiting.push_back(waiting);
    if (asked->refreshed) s_.loop.post([asked = asked] { answer(*asked); });
    return question;
  }
  asked = std::make_shared<Asked>();
  asked->domain = name;
  asked->waiting.push_back(waiting);
  const auto step = [this, alive = alive_, weak = std::weak_ptr(asked)] {
    const auto found = weak.lock();
    if (*alive && found && --found->due == 0) decide(found);
  };
  if (!is_policy_domain(name)) {
    asked->due = 1;
    s_.loop.post(step);
    return question;
  }
  s_.workers.submit(
      s_.loop, [cache = cache_, name] { return cache.load(name); },
      [alive = alive_, weak = std::weak_ptr(asked), step](std::optional<KeptPolicy> kept) mutable {
        const auto found = weak.lock();
        if (*alive && found) found->kept = std::move(kept);
        step();
      });
  asked->query = s_.resolver.ask(net::DnsType::txt, "_mta-sts." + name,
                                 [weak = std::weak_ptr(asked), step](net::DnsResult result) mutable {
                                   const auto found = weak.lock();
                                   if (found && result) found->id = sts_id(result->texts);
                                   step();
                                 });
  sweep_now_and_then();
  return question;
}

/// RFC 8461 section 5.1, step 1.
void StsPolicies::decide(const std::shared_ptr<Asked>& asked) {
  const auto now = s_.clock.now();
  auto& kept = asked->kept;
  if (kept && !kept->valid_at(now)) kept.reset();
  const bool current = kept && (!asked->id || *asked->id == kept->id);
  const auto id = asked->id ? *asked->id : kept ? kept->id : std::string();
  const bool wanted = kept ? !current || now - kept->fetched >= kRefresh : asked->id.has_value();
  if (!wanted || !may_fetch(asked->domain, id)) {
    asked_.erase(asked->domain);
    return answer(*asked);
  }
  asked->refreshed = current;
  fetch(asked, id);
  if (current) answer(*asked);
}

bool StsPolicies::may_fetch(const std::string& domain, const std::string& id) {
  if (!s_.tls) return false;
  const auto failed = failures_.find(domain);
  if (failed == failures_.end()) return true;
  if (failed->second.id == id && s_.clock.now() - failed->second.time < kRetry) return false;
  failures_.erase(failed);
  return true;
}

void StsPolicies::fetch(const std::shared_ptr<Asked>& asked, std::string id) {
  auto tls = s_.tls();
  if (!tls) return fetched(asked, id, fail(Error::Kind::temporary, "TLS cannot be used here"));
  asked->get = std::make_unique<HttpsGet>(s_.loop, s_.resolver, std::move(tls),
                                          HttpsGet::Request{.host = "mta-sts." + asked->domain,
                                                            .path = "/.well-known/mta-sts.txt",
                                                            .port = s_.settings.mta_sts_port,
                                                            .media_type = "text/plain",
                                                            .most_octets = kMostStsOctets,
                                                            .time = kFetchTime,
                                                            .ipv6 = s_.settings.ipv6,
                                                            .private_addresses = s_.settings.private_targets},
                                          [this, weak = std::weak_ptr(asked), id](Result<std::string> text) {
                                            if (const auto found = weak.lock()) fetched(found, id, std::move(text));
                                          });
}

void StsPolicies::fetched(const std::shared_ptr<Asked>& asked, const std::string& id, Result<std::string> text) {
  const auto now = s_.clock.now();
  auto policy = text ? StsPolicy::parse(*text) : Result<StsPolicy>(tl::unexpected(text.error()));
  if (policy) {
    log_event(LogLevel::info, "mta-sts-policy",
              {{"domain", asked->domain},
               {"mode", to_string(policy->mode)},
               {"id", id},
               {"max_age", policy->max_age.count()},
               {"mx", join(policy->mx, " ")}});
    const KeptPolicy kept{std::move(*policy), id, now};
    asked->kept = kept;
    if (s_.keep)
      s_.workers.submit([cache = cache_, domain = asked->domain, kept] {
        if (const auto stored = cache.store(domain, kept); !stored)
          log_event(LogLevel::warning, "mta-sts-not-kept", {{"domain", domain}, {"reason", stored.error().text}});
      });
  } else {
    if (failures_.size() >= kMostFailures) failures_.clear();
    failures_[asked->domain] = {id, now};
    // A kept policy that cannot be renewed may be under attack (section 10.2), unless it says that there is none.
    const bool odd = asked->kept && asked->kept->policy.mode != StsPolicy::Mode::none;
    log_event(odd ? LogLevel::warning : LogLevel::info, "mta-sts-failed",
              {{"domain", asked->domain}, {"reason", policy.error().text}, {"kept", asked->kept ? "yes" : "no"}});
  }
  const auto keep = asked;  // and with it the HttpsGet that is calling
  asked_.erase(asked->domain);
  s_.loop.post([keep] {});
  answer(*keep);
}

/// Tells all that wait for it. They may ask again at once: what was asked is over or being fetched by now.
void StsPolicies::answer(Asked& asked) {
  const bool holds = asked.kept && asked.kept->policy.mode != StsPolicy::Mode::none;
  const auto policy = holds ? std::optional(asked.kept->policy) : std::nullopt;
  for (const auto& one : std::exchange(asked.waiting, {}))
    if (const auto waiting = one.lock(); waiting && waiting->callback)
      std::exchange(waiting->callback, nullptr)(policy);
}

void StsPolicies::sweep_now_and_then() {
  const auto now = s_.clock.now();
  if (!s_.keep || now - swept_ < kSweepEvery) return;
  swept_ = now;
  s_.workers.submit([cache = cache_, now] { cache.sweep(now); });
}

}  // namespace mail::relay
