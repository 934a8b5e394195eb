/* What was written over `tail` and `head` stays there. */
#define DEFECT_NO_MENDING
#include "../configurations/stray.pml"
