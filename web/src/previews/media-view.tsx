/** Pictures, sound and films, as the browser itself shows them. */
import { type ReactNode, useState } from 'react';

interface Props {
  readonly kind: 'picture' | 'audio' | 'video';
  readonly from: string;
}

export function MediaView({ kind, from }: Props): ReactNode {
  const [isBroken, setBroken] = useState(false);
  if (isBroken)
    return <p className="wrong">! It cannot be shown: it is damaged, or of a kind that this browser does not know.</p>;
  const broken = (): void => setBroken(true);
  if (kind === 'picture')
    return <img src={from} alt="Preview of the file" onError={broken} style={{ maxWidth: '100%', maxHeight: 520 }} />;
  if (kind === 'audio')
    return (
      <audio
        src={from}
        controls
        preload="metadata"
        onError={broken}
        aria-label="Preview of the sound"
        style={{ width: '100%' }}
      />
    );
  return (
    <video
      src={from}
      controls
      preload="metadata"
      onError={broken}
      aria-label="Preview of the film"
      style={{ maxWidth: '100%', maxHeight: 520 }}
    />
  );
}
