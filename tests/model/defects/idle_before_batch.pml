/* The closer look at spinners is spared for a batch, too. So the code once was. */
#define DEFECT_IDLE_BEFORE_BATCH
#include "../configurations/batch.pml"
