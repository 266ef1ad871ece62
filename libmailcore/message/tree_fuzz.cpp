// Any octets give a tree whose parts lie within each other, and IMAP text from it.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/strings.h"
#include "message/imap_text.h"
#include "message/search_text.h"
#include "message/tree.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::message;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tree = parse(text);
  for (const auto& part : tree.parts()) {
    if (part.header.begin > part.header.end || part.header.end != part.body.begin || part.body.end > size ||
        part.body.begin > part.body.end)
      std::abort();
    if (part.parent != kNoPart && part.body.end > tree[part.parent].body.end) std::abort();
    if (part.header.bare_lf > part.header.lines || part.body.bare_lf > part.body.lines) std::abort();
  }
  MessageFields fields;
  std::string envelope;
  (void)find_message_fields(text, fields);
  append_imap_envelope(envelope, fields, text);
  if (envelope != imap_envelope(tree)) std::abort();
  (void)imap_bodystructure(tree);
  std::string searched;
  append_header_search_text(searched, tree.header(tree.root()));
  append_body_search_text(searched, tree);
  if (!mail::is_utf8(searched) || !mail::is_utf8(preview(tree))) std::abort();
  return 0;
}
