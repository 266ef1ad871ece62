#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "base/id.h"
#include "base/strings.h"
#include "mta/relay/sts_policies.h"

namespace mail::relay {

namespace {
constexpr std::size_t kMostKept = 100000;
constexpr char kBeingWritten = '~';  // the first of a file's name: no domain begins so
constexpr std::chrono::hours kNeverWrittenSoLong{1};

/// Whether a file that was being written is what a crash has left: others may be writing theirs just now.
bool left_behind(const std::string& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  return !error && std::filesystem::file_time_type::clock::now() - written > kNeverWrittenSoLong;
}
}  // namespace

std::string KeptPolicy::text() const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(fetched.time_since_epoch()).count();
  return concat({"id: ", id, "\nfetched: ", decimal(seconds), "\n", policy.text()});
}

std::optional<KeptPolicy> KeptPolicy::parse(std::string_view text) {
  auto policy = StsPolicy::parse(text);
  const auto id = sts_field(text, "id");
  const auto fetched = parse_decimal<std::int64_t>(sts_field(text, "fetched").value_or(""));
  // What no clock can hold is nothing that was written here.
  constexpr std::int64_t kMostSeconds = std::int64_t{1} << 40;
  if (!policy || !id || !fetched || *fetched < 0 || *fetched > kMostSeconds) return std::nullopt;
  return KeptPolicy{std::move(*policy), std::string(*id), WallTime(std::chrono::seconds(*fetched))};
}

std::optional<KeptPolicy> StsCache::load(const std::string& domain) const {
  const auto text = read_file_at(concat({directory_, "/", domain}), 2 * kMostStsOctets);
  return text ? KeptPolicy::parse(*text) : std::nullopt;
}

Status StsCache::store(const std::string& domain, const KeptPolicy& kept) const {
  auto directory = disk_.open_directory(directory_);
  if (!directory && directory.error().kind == Error::Kind::not_found) {
    const auto slash = directory_.rfind('/');
    MAIL_TRY(parent, disk_.open_directory(directory_.substr(0, slash)));
    (void)disk_.make_directory(parent, directory_.substr(slash + 1));
    directory = disk_.open_directory(directory_);
  }
  if (!directory) return tl::unexpected(directory.error());
  const auto name = kBeingWritten + random_token(16);  // `mta explain` may be keeping the same policy
  MAIL_TRY(file, disk_.open(*directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC));
  MAIL_CHECK(disk_.write(file.get(), kept.text()));
  MAIL_CHECK(disk_.sync_data(file.get()));
  return disk_.rename(*directory, name, *directory, domain);
}

void StsCache::sweep(WallTime now) const {
  const auto directory = disk_.open_directory(directory_);
  if (!directory) return;
  std::vector<std::pair<WallTime, std::string>> valid;
  std::vector<std::string> gone;
  (void)disk_.each(*directory, [&](std::string_view name) {
    if (name.starts_with(kBeingWritten)) {
      if (left_behind(concat({directory_, "/", name}))) gone.emplace_back(name);
      return;
    }
    const auto kept = load(std::string(name));
    if (kept && kept->valid_at(now))
      valid.emplace_back(kept->fetched, name);
    else
      gone.emplace_back(name);
  });
  if (valid.size() > kMostKept) {
    std::ranges::sort(valid);
    for (std::size_t i = 0; i < valid.size() - kMostKept; ++i) gone.push_back(valid[i].second);
  }
  for (const auto& name : gone) (void)disk_.unlink(*directory, name);
}

}  // namespace mail::relay
