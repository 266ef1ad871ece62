// Message ids, base subjects and threads (RFC 5256).
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mail::message {

/// The ids of Message-ID, In-Reply-To or References, without angle brackets, comments and blanks within skipped; a lone
/// word with '@' counts too.
std::vector<std::string> parse_message_ids(std::string_view value);
/// The first of them, or an empty string.
std::string parse_message_id(std::string_view value);

/// The base subject (RFC 5256 section 2.1) of a raw Subject value: decoded, in upper case as i;unicode-casemap
/// compares, "Re:", "Fwd:", "[list]" and "(fwd)" removed.
struct BaseSubject {
  std::string text;
  bool is_reply_or_forward = false;
};
BaseSubject base_subject(std::string_view subject_value);

struct ThreadInput {
  std::uint32_t key = 0;  ///< The caller's: an index, a UID or a sequence number.
  std::chrono::sys_seconds sent{};
  std::string message_id;               ///< Empty where there is none.
  std::vector<std::string> references;  ///< References, or else the first id of In-Reply-To (RFC 5256 section 3).
  BaseSubject subject;
};
struct ThreadNode {
  static constexpr std::uint32_t kDummy = UINT32_MAX;
  std::uint32_t key = kDummy;  ///< kDummy: a missing parent that holds its children together.
  std::vector<ThreadNode> children;
};

/// THREAD=REFERENCES, THREAD=REFS (no merging by subject) and THREAD=ORDEREDSUBJECT. Linear but for the sorting; loops
/// in References are cut.
std::vector<ThreadNode> thread_by_references(std::vector<ThreadInput> messages, bool merge_subjects = true);
std::vector<ThreadNode> thread_by_subject(std::vector<ThreadInput> messages);
/// "(2)(3 6 (4 23)(44 7 96))" as IMAP writes it.
std::string to_imap(const std::vector<ThreadNode>& threads);

}  // namespace mail::message
