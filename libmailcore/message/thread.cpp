#include "message/thread.h"

#include <algorithm>

#include "base/cursor.h"
#include "base/strings.h"
#include "message/charset.h"
#include "message/encoded_word.h"

namespace mail::message {

std::vector<std::string> parse_message_ids(std::string_view value) {
  constexpr std::size_t kMost =
      1000;  // of one References field: the last ones are lost, the message still has its parents' ids before
  std::vector<std::string> ids;
  std::size_t at = 0;
  while (ids.size() < kMost) {
    const auto begin = value.find('<', at);
    if (begin == std::string_view::npos) break;
    const auto end = value.find('>', begin);
    if (end == std::string_view::npos) break;
    std::string id;
    for (const char c : value.substr(begin + 1, end - begin - 1))
      if (!is_white(static_cast<unsigned char>(c)) && c != '<' && c != '\0') id += c;
    if (!id.empty()) ids.push_back(std::move(id));
    at = end + 1;
  }
  if (ids.empty())
    for (const auto word : split_words(value))
      if (word.find('@') != std::string_view::npos && ids.size() < kMost) ids.emplace_back(word);
  return ids;
}

std::string parse_message_id(std::string_view value) {
  auto ids = parse_message_ids(value);
  return ids.empty() ? std::string() : std::move(ids.front());
}

namespace {

std::string_view trim_trailers(std::string_view text, bool& forwarded) {
  for (;;) {
    text = trim(text);
    if (!iends_with(text, "(fwd)")) return text;
    forwarded = true;
    text.remove_suffix(5);
  }
}

/// subj-blob = "[" *BLOBCHAR "]" *WSP at the start; 0 where there is none.
std::size_t blob_octets(std::string_view text) {
  if (!text.starts_with('[')) return 0;
  const auto end = text.find_first_of("[]", 1);
  if (end == std::string_view::npos || text[end] != ']') return 0;
  auto length = end + 1;
  while (length < text.size() && is_space(static_cast<unsigned char>(text[length]))) ++length;
  return length;
}

/// subj-leader = (*subj-blob subj-refwd) / WSP; 0 where there is none.
std::size_t leader_octets(std::string_view text) {
  std::size_t at = 0;
  while (const auto blob = blob_octets(text.substr(at))) at += blob;
  const auto rest = text.substr(at);
  std::size_t word = 0;
  if (istarts_with(rest, "re"))
    word = 2;
  else if (istarts_with(rest, "fwd"))
    word = 3;
  else if (istarts_with(rest, "fw"))
    word = 2;
  if (word == 0) return 0;
  at += word;
  while (at < text.size() && is_space(static_cast<unsigned char>(text[at]))) ++at;
  at += blob_octets(text.substr(at));
  return at < text.size() && text[at] == ':' ? at + 1 : 0;
}

}  // namespace

// RFC 5256 section 2.1, steps 1 to 6.
BaseSubject base_subject(std::string_view subject_value) {
  BaseSubject out;
  std::string text;
  const auto decoded = decode_header_text(subject_value);
  for (const auto word : split_words(decoded)) text += text.empty() ? std::string(word) : " " + std::string(word);
  std::string_view rest = text;
  for (;;) {
    rest = trim_trailers(rest, out.is_reply_or_forward);
    for (;;) {
      rest = trim(rest);
      if (const auto leader = leader_octets(rest)) {
        out.is_reply_or_forward = true;
        rest.remove_prefix(leader);
        continue;
      }
      const auto blob = blob_octets(rest);
      if (blob == 0 || trim(rest.substr(blob)).empty()) break;  // a blob is only taken where something is left
      rest.remove_prefix(blob);
    }
    if (istarts_with(rest, "[fwd:") && rest.ends_with(']')) {
      out.is_reply_or_forward = true;
      rest = rest.substr(5, rest.size() - 6);
      continue;
    }
    break;
  }
  out.text = fold_case(rest);
  return out;
}

std::string to_imap(const std::vector<ThreadNode>& threads) {
  std::string out;
  // Not recursive: a thread may be as deep as a mailbox has messages.
  struct Frame {
    const ThreadNode* node;
    std::size_t next = 0;
    bool parenthesis = false;
  };
  for (const auto& thread : threads) {
    std::vector<Frame> stack{{&thread, 0, true}};
    out += '(';
    if (thread.key != ThreadNode::kDummy) append_decimal(out, thread.key);
    while (!stack.empty()) {
      auto& frame = stack.back();
      if (frame.next == frame.node->children.size()) {
        if (frame.parenthesis) out += ')';
        stack.pop_back();
        continue;
      }
      const bool branches = frame.node->children.size() > 1 || frame.node->key == ThreadNode::kDummy;
      const auto* child = &frame.node->children[frame.next++];
      if (branches) {
        if (frame.next == 1 && !out.ends_with('(') && frame.node->key != ThreadNode::kDummy) out += ' ';
        out += '(';
      } else if (!out.ends_with('(')) {
        out += ' ';
      }
      if (child->key != ThreadNode::kDummy) append_decimal(out, child->key);
      stack.push_back({child, 0, branches});
    }
  }
  return out;
}

}  // namespace mail::message
