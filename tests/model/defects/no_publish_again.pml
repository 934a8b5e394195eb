/* Nobody looks after tasks that all workers have gone past. */
#define DEFECT_NO_PUBLISH_AGAIN
#include "../configurations/stray.pml"
