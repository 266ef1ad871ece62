// Comments between the tokens of structured fields (RFC 5322 section 3.2.2).
#pragma once
#include "base/cursor.h"

namespace mail::message {

/// Passes a comment, those inside it too; one that never ends goes to the end of the text.
/// @return false where no comment begins here
inline bool skip_comment(Cursor& in) {
  if (in.peek() != '(') return false;
  int depth = 0;
  while (!in.at_end()) {
    const int c = in.peek();
    in.skip(c == '\\' ? 2 : 1);
    if (c == '(') ++depth;
    if (c == ')' && --depth == 0) break;
  }
  return true;
}

}  // namespace mail::message
