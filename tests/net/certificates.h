// Certificates made for one test run: an authority, and certificates it signed.
#pragma once
#include <string>
#include <vector>

#include "config/settings.h"

namespace mail::test {

class Authority {
 public:
  /// Files go into `directory`; the authority's certificate is ca_file().
  explicit Authority(std::string directory);
  ~Authority();
  std::string ca_file() const;
  /// A certificate for `names` (dNSName, or iPAddress where it is one) and its key. `days` negative: expired.
  config::Certificate issue(const std::string& file, const std::vector<std::string>& names, int days = 10) const;

 private:
  struct Keys;
  std::string directory_;
  Keys* keys_;
};

}  // namespace mail::test
