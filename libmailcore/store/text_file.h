// Small text files of an account: Dovecot's `subscriptions`, our `relais-mailbox` (special use, metadata),
// `dovecot-acl`, `maildirsize`.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/quota.h"

namespace mail::store {

/// Dovecot's str_tabescape: \001 with 0, 1, t, n or r stands for NUL, \001, tab, LF, CR.
std::string tab_escape(std::string_view text);
std::string tab_unescape(std::string_view text);

/// One list of name parts for each subscription. Version 2 ("V\t2", tabs between parts) and the older plain form, in
/// which `separator` is between them.
std::vector<std::vector<std::string>> parse_subscriptions(std::string_view text, char separator);
std::string format_subscriptions(const std::vector<std::vector<std::string>>& names);

/// "key\tvalue" lines, both escaped.
std::map<std::string, std::string> parse_properties(std::string_view text);
std::string format_properties(const std::map<std::string, std::string>& properties);

/// Dovecot's "identifier rights" lines; the identifier may be in double quotes. Rights as RFC 4314 letters, or
/// Dovecot's words after ':'.
std::map<std::string, std::string> parse_acl(std::string_view text);
std::string format_acl(const std::map<std::string, std::string>& entries);

struct Maildirsize {
  QuotaLimits limits;
  std::int64_t octets = 0, messages = 0;
};
/// Maildir++ quota file: "1000S,10C", then lines "octets messages" that are summed up. Nothing for what is none.
std::optional<Maildirsize> parse_maildirsize(std::string_view text);
std::string format_maildirsize(const QuotaLimits& limits, const QuotaUsage& usage);

}  // namespace mail::store
