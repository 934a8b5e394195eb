/* What was written over `tail` and `head` stays there. */
#define DEFECT_NO_REPAIR
#include "../configurations/stray.pml"
