// sendmail -bs: SMTP on standard input and output, for programs that submit that way.
#pragma once
#include "mua/context.h"

namespace mail::mua {

/// Until QUIT or the end of input; each message goes the way of sendmail's others.
int speak_smtp(const Context& context);

}  // namespace mail::mua
